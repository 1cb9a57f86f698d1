"""Combines the stems of several models into one file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from common.tasks.messages.choices import Ensemble
from common.waiting import StopCheck
from processor.audio.wav import WavWriter
from processor.ensemble import spectra, waves
from processor.ensemble.stem_source import BLOCK_FRAMES, Samples, StemReader, StemSource
from processor.ensemble.waves import Combine

_WAVES: Mapping[Ensemble, Combine] = {
    "avg_wave": waves.average,
    "median_wave": waves.median,
    "min_wave": waves.least,
    "max_wave": waves.greatest,
    # The mean of spectra is the spectrum of the mean.
    "avg_fft": waves.average,
}
_SPECTRA: Mapping[Ensemble, Combine] = {
    "median_fft": waves.median,
    "min_fft": waves.least,
    "max_fft": waves.greatest,
    "uvr_min_spec": waves.last_least,
    "uvr_max_spec": waves.last_greatest,
}
WAYS: tuple[Ensemble, ...] = get_args(Ensemble)


def combine(
    sources: Sequence[StemSource],
    way: Ensemble,
    weights: Sequence[float],
    target: Path,
    check: StopCheck = lambda: None,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write the combined stem to `target`, a float32 WAV file as long as the longest of `sources`.

    The averages have `weights`; the other ways ignore them. `check` may raise to stop; after an error there
    is no `target`. Raises OSError.
    """
    part = target.with_name(target.name + ".part")
    try:
        with ExitStack() as stack:
            readers = [stack.enter_context(StemReader(source)) for source in sources]
            frames = max(reader.frames for reader in readers)
            writer = stack.enter_context(WavWriter(part, "float32", frames))
            done = 0
            for block in _blocks(readers, frames, way, weights):
                check()
                writer.write(block)
                done += len(block)
                on_progress(done / frames)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _blocks(
    readers: Sequence[StemReader], frames: int, way: Ensemble, weights: Sequence[float]
) -> Iterator[Samples]:
    if way in _SPECTRA:
        return spectra.combined(readers, frames, partial(_SPECTRA[way], weights=weights))
    return _wave_blocks(readers, frames, partial(_WAVES[way], weights=weights))


def _wave_blocks(
    readers: Sequence[StemReader], frames: int, combine: Callable[[waves.Values], waves.Values]
) -> Iterator[Samples]:
    for start in range(0, frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, frames - start)
        yield combine(np.stack([reader.read(count) for reader in readers])).astype(np.float32)
