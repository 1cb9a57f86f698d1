"""Converts between samples and spectra as `Stft` does, without torch and in blocks that stay in the cache.

The import of torch takes a second and half the memory of an engine. SciPy's FFT costs as much as torch's.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from processor.separation.overlap_add import Samples

Spectra = npt.NDArray[np.complex64]  # [frame, bin]

# As many frames as stay in a core's cache from the window to the transform to the copy.
FRAMES_AT_ONCE = 32


class ArrayStft:
    """Converts between the samples [n] of one channel and its complex spectra [frame, bin].

    The frames have `n_fft` samples, are `hop` samples apart, and the first is centred on the first sample.
    The window is a periodic Hann window of `win_length` samples. `normalized` scales both ways by √n_fft.
    Samples are mirrored at both ends for half a frame, or 0 there with `silent_ends`.
    """

    def __init__(
        self,
        n_fft: int,
        hop: int,
        win_length: int | None = None,
        normalized: bool = False,
        silent_ends: bool = False,
    ):
        self._n_fft, self._hop = n_fft, hop
        self._pads: Literal["constant", "reflect"] = "constant" if silent_ends else "reflect"
        self._norm = "ortho" if normalized else "backward"
        self._blocks = -(-n_fft // hop)
        win_length = win_length or n_fft
        before = (n_fft - win_length) // 2
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
        self._window = np.pad(window, (before, n_fft - win_length - before)).astype(np.float32)
        self._known = (0, np.zeros(0, np.float32))  # the frames of the last spectra, and their envelope

    @property
    def bins(self) -> int:
        """The number of bins of a frame."""
        return self._n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Return the number of frames of so many samples."""
        return samples // self._hop + 1

    def spectra(self, samples: Samples) -> Iterator[tuple[slice, Spectra]]:
        """Yield some frames at a time, and their spectra."""
        padded = np.pad(samples, self._n_fft // 2, mode=self._pads)
        pieces = sliding_window_view(padded, self._n_fft)[:: self._hop]
        for some in some_frames(len(pieces)):
            yield some, fft.rfft(pieces[some] * self._window, overwrite_x=True, norm=self._norm)

    def samples(self, frames: int, spectra: Callable[[slice], Spectra], length: int | None = None) -> Samples:
        """Return the samples of `frames` frames: Σ window × inverse FFT, divided by Σ window².

        `spectra` returns some frames at a time; their imaginary parts at 0 Hz and at half the sampling rate
        are ignored. `length` is the number of samples, hop × (frames - 1) where it is None. Source: Griffin
        and Lim, "Signal estimation from modified short-time Fourier transform", 1984.
        """
        wanted = self._hop * (frames - 1) if length is None else length
        whole = self._zeros(frames)
        for some in some_frames(frames):
            pieces = fft.irfft(spectra(some), self._n_fft, norm=self._norm)
            pieces *= self._window
            self._add(whole, pieces, some.start)
        found = np.zeros(wanted, np.float32)
        usable = self._usable(frames, wanted)
        np.divide(
            whole.reshape(-1)[usable], self._envelope(frames)[usable], out=found[: usable.stop - usable.start]
        )
        return found

    def _usable(self, frames: int, wanted: int) -> slice:
        """Return which of the sums are the answer: without half a frame at the beginning."""
        start = self._n_fft // 2
        return slice(start, min(start + wanted, self._n_fft + self._hop * (frames - 1)))

    def _envelope(self, frames: int) -> Samples:
        """Return Σ window² over `frames` frames."""
        known, envelope = self._known
        if known != frames:
            whole = self._zeros(frames)
            self._add(whole, np.broadcast_to(self._window**2, (frames, self._n_fft)), 0)
            envelope = whole.reshape(-1)
            self._known = (frames, envelope)
        return envelope

    def _zeros(self, frames: int) -> Samples:
        """Return [hop number, sample] for sums over `frames` frames."""
        return np.zeros((frames + self._blocks - 1, self._hop), np.float32)

    def _add(self, whole: Samples, pieces: Samples, first: int) -> None:
        """Add [frame, n_fft], of which the first is frame number `first`, to [hop number, sample]."""
        for block in range(self._blocks):
            part = pieces[:, block * self._hop : (block + 1) * self._hop]
            whole[first + block : first + block + len(part), : part.shape[1]] += part


def some_frames(frames: int) -> Iterator[slice]:
    """Yield `frames` frames in parts of FRAMES_AT_ONCE."""
    for first in range(0, frames, FRAMES_AT_ONCE):
        yield slice(first, min(first + FRAMES_AT_ONCE, frames))
