"""Combines stems in their spectra, frame by frame, as librosa's stft and istft would for the whole stems.

A frame is a Hann window of 2048 samples, and the next one begins 1024 samples later. The stem is padded with
silence. Each 1024 samples of the answer are the sum of one frame's end and the next one's beginning. They are
divided by the sum of both windows' squares. Source: librosa 0.10, `core/spectrum.py`.

The end that fills no 1024 samples has one frame more than librosa's. With a single frame it would be divided
by the square of a window that falls to zero, and what the combination changes there would become a click.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from processor.audio.wav import CHANNELS
from processor.ensemble.stem_source import Samples, StemReader
from processor.ensemble.waves import Values

HOP = 1024
_FRAME = 2 * HOP
_HOPS_AT_ONCE = 32
# Computed as scipy does, to the bit: where two models have nearly the same magnitude, rounding decides.
_WINDOW = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, _FRAME + 1)[:-1])
_BOTH = _WINDOW[:HOP] ** 2 + _WINDOW[HOP:] ** 2


def combined(
    readers: Sequence[StemReader], frames: int, combine: Callable[[Values], Values]
) -> Iterator[Samples]:
    """Yield the combined stem, float32 [n, 2], `frames` in all.

    `combine` takes the models' spectra, complex64 [model, hop, channel, bin], and returns one of them.
    """
    hops = -(-frames // HOP) + 1
    before = [np.zeros((HOP, CHANNELS), np.float32) for _ in readers]
    end: npt.NDArray[np.float64] | None = None  # the second half of the last frame, without its division
    done = 0
    for start in range(0, hops, _HOPS_AT_ONCE):
        count = min(_HOPS_AT_ONCE, hops - start)
        spectra = []
        for index, reader in enumerate(readers):
            samples = np.concatenate([before[index], reader.read(count * HOP)])
            before[index] = samples[-HOP:]
            spectra.append(_spectra(samples))
        halves = _halves(combine(np.stack(spectra)))
        ends = halves[:, 1] if end is None else np.concatenate([end[None], halves[:, 1]])
        begins = halves[1:, 0] if end is None else halves[:, 0]
        end = ends[-1]
        found = ((ends[:-1] + begins) / _BOTH[:, None]).reshape(-1, CHANNELS)[: frames - done]
        done += len(found)
        yield found.astype(np.float32)


def _spectra(samples: Samples) -> Values:
    """Return the spectra of all frames of `samples`, complex64 [hop, channel, bin]."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME, axis=0)[::HOP]
    return np.fft.rfft(frames * _WINDOW, axis=-1).astype(np.complex64)


def _halves(spectra: Values) -> npt.NDArray[np.float64]:
    """Return the windowed frames in halves, [hop, half, HOP, channel]."""
    frames = np.fft.irfft(spectra, _FRAME, axis=-1) * _WINDOW
    return np.ascontiguousarray(
        frames.reshape(len(frames), CHANNELS, 2, HOP).transpose(0, 2, 3, 1), np.float64
    )
