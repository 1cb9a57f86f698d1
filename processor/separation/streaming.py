"""A prepared mix in, stems out, in constant memory.

Networks are not linear in level, so each gets the mix at one peak and its answer is scaled back. (Demucs and
VR normalise by themselves, by the whole mix, and so do not mind.) One stem may be the mix minus an answer. A
gain below 1 is applied to all stems alike, and only where one would clip; so it is known only after the last
chunk, and the answer waits in a spool file until then.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from common.errors import ErrorCode, PermanentError, TransientError
from common.waiting import StopCheck
from processor.audio.stem_writer import MAX_LEVEL, Format, StemWriter, max_stem_bytes
from processor.audio.wav import CHANNELS, SAMPLE_RATE
from processor.separation.loaded_model import LoadedModel
from processor.separation.overlap_add import Mix, Read

NETWORK_PEAK = 0.9
# Below -180 dB of full scale nothing can be heard, and the factor to NETWORK_PEAK would leave float32.
_SILENCE = 1e-9
_BLOCK_FRAMES = 1 << 16
_FLOAT_FRAME_BYTES = 4 * CHANNELS
_SPARE_BYTES = 16 << 20
# Reading the mix and writing the stems is this part of the way, the network the rest.
_NETWORK_SHARE = 0.95


@dataclass(frozen=True)
class Stems:
    """`names` of the stems written, `gain` applied to all, `frames` in each."""

    names: tuple[str, ...]
    gain: float
    frames: int


@dataclass(frozen=True)
class _Job:
    """One mix on its way. `frames` are the mix's; `report` takes progress, `check` may raise to stop."""

    network: LoadedModel
    source: Path
    frames: int
    report: Callable[[float], None]
    check: StopCheck

    def open_mix(self, scale: float = 1.0) -> Read:
        """Reads float32 [2, n] from the beginning."""
        # No `with`: it is closed when nobody holds the reader any more.
        mix = soundfile.SoundFile(self.source)

        def read(count: int) -> np.ndarray:
            self.check()
            return mix.read(count, dtype="float32", always_2d=True).T * np.float32(scale)

        return read

    def blocks(self) -> Iterator[np.ndarray]:
        """The mix in float32 [n, 2]."""
        read = self.open_mix()
        while (block := read(_BLOCK_FRAMES)).size:
            yield np.ascontiguousarray(block.T)


def stem_path(directory: Path, name: str, format: Format) -> Path:
    return directory / f"{name}.{format}"


def separate(
    network: LoadedModel,
    source: Path,
    target_dir: Path,
    format: Format,
    on_progress: Callable[[float], None],
    check: StopCheck,
) -> Stems:
    """Writes `<stem>.<format>` for all stems, or nothing.

    `source` is a 44.1 kHz stereo WAV; `on_progress` gets 0 to 1; `check` may raise to stop. Raises
    TransientError (disk_full, out_of_memory), PermanentError (not_audio) and OSError.
    """
    with soundfile.SoundFile(source) as mix:
        if (mix.samplerate, mix.channels) != (SAMPLE_RATE, CHANNELS):
            raise PermanentError(ErrorCode.NOT_AUDIO, "the mix is not 44.1 kHz stereo")
        frames = mix.frames
    _require_space(target_dir, frames, network)
    job = _Job(network, source, frames, on_progress, check)
    with tempfile.TemporaryFile(dir=target_dir) as spool:  # has no name: gone with the process
        peak = max((float(np.abs(block).max()) for block in job.blocks()), default=0.0)
        loudest = _spool_answers(job, peak, spool)
        gain = min(1.0, MAX_LEVEL / loudest) if loudest > 0 else 1.0
        _write_stems(job, spool, gain, target_dir, format)
    on_progress(1.0)
    return Stems(network.names, gain, frames)


def _require_space(directory: Path, frames: int, network: LoadedModel) -> None:
    spool = frames * _FLOAT_FRAME_BYTES * len(network.stems)
    needed = spool + len(network.names) * max_stem_bytes(frames) + _SPARE_BYTES
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise TransientError(
            ErrorCode.DISK_FULL, f"Disk full: separation needs {needed} bytes, {free} are free"
        )


def _spool_answers(job: _Job, peak: float, spool: BinaryIO) -> float:
    """Writes the network's stems at the mix's own level; returns the largest sample of all stems."""
    count = len(job.network.stems)
    if peak < _SILENCE:
        spool.truncate(job.frames * _FLOAT_FRAME_BYTES * count)
        return peak
    scale = NETWORK_PEAK / peak
    mix = Mix(job.frames, lambda: job.open_mix(scale))
    loudest, done = 0.0, 0
    again = job.open_mix()
    for answer in job.network.estimate(mix):
        # [frame, stem, channel]: the spool is read in order later.
        stems = np.ascontiguousarray(answer.transpose(2, 0, 1), np.float32) * np.float32(1 / scale)
        if not np.isfinite(stems).all():
            raise TransientError(ErrorCode.INTERNAL_ERROR, "the model's answer is not a number")
        all_stems = _with_residual(job.network, stems, again(len(stems)).T)
        loudest = max(loudest, *(float(np.abs(stem).max()) for stem in all_stems))
        spool.write(stems.tobytes())
        done += len(stems)
        job.report(_NETWORK_SHARE * done / job.frames)
    if done != job.frames:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"the model answered {done} of {job.frames} samples")
    return loudest


def _with_residual(network: LoadedModel, stems: np.ndarray, mix: np.ndarray) -> list[np.ndarray]:
    """All stems of [frame, stem, channel], in the order of `network.names`."""
    found = [stems[:, index] for index in range(stems.shape[1])]
    if network.residual:
        found.append(mix - found[network.stems.index(network.residual.of)])
    return found


def _write_stems(job: _Job, spool: BinaryIO, gain: float, target_dir: Path, format: Format) -> None:
    network = job.network
    shape = (-1, len(network.stems), CHANNELS)
    parts = {name: target_dir / f"{name}.part" for name in network.names}
    spool.seek(0)
    done = 0
    try:
        with ExitStack() as stack:
            writers = [stack.enter_context(StemWriter(p, format, job.frames)) for p in parts.values()]
            for block in job.blocks():
                data = spool.read(len(block) * _FLOAT_FRAME_BYTES * len(network.stems))
                stems = np.frombuffer(data, np.float32).reshape(shape)
                for writer, stem in zip(writers, _with_residual(network, stems, block), strict=True):
                    writer.write(stem * np.float32(gain))
                done += len(block)
                job.report(_NETWORK_SHARE + (1 - _NETWORK_SHARE) * done / job.frames)
        for name, part in parts.items():
            part.rename(stem_path(target_dir, name, format))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
