"""Converts between samples and the spectra of MDX networks on the CPU, without torch.

The import of torch takes a second and half the memory of an engine. SciPy's FFT costs as much as torch's.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from processor.separation.architectures.mdx_parameters import ZEROED_BINS
from processor.separation.overlap_add import Samples

Spectra = npt.NDArray[np.float32]  # [batch, 4, bin, frame]

# As many frames as stay in a core's cache from the window to the transform to the copy.
_FRAMES_AT_ONCE = 32


class ArraySpectrum:
    """Does with arrays what `Spectrum` does with tensors; see there for shapes."""

    def __init__(self, n_fft: int, hop: int, bins: int, frames: int):
        self._n_fft, self._hop, self._bins, self._frames = n_fft, hop, bins, frames
        self._blocks = -(-n_fft // hop)
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
        whole = np.zeros((frames + self._blocks - 1, hop), np.float32)
        self._add(whole, np.broadcast_to(self._window**2, (frames, n_fft)), 0)
        self._envelope = self._cut(whole)

    def of(self, samples: Samples) -> Spectra:
        """Return the spectra of `samples` [batch, 2, n], with the lowest three bins set to 0."""
        batch, channels, _ = samples.shape
        half = self._n_fft // 2
        padded = np.pad(samples.reshape(batch * channels, -1), ((0, 0), (half, half)), mode="reflect")
        pieces = sliding_window_view(padded, self._n_fft, axis=1)[:, :: self._hop]
        answer = np.empty((batch * channels, 2, self._bins, self._frames), np.float32)
        for channel, parts in zip(pieces, answer, strict=True):
            for some in self._some_frames():
                spectra = fft.rfft(channel[some] * self._window, overwrite_x=True)[:, : self._bins]
                parts[:, :, some] = _parts(spectra).transpose(2, 1, 0)
        answer[:, :, :ZEROED_BINS] = 0
        return answer.reshape(batch, 2 * channels, self._bins, self._frames)

    def samples(self, spectra: Spectra) -> Samples:
        """Return the samples [batch, 2, n] of `spectra`, as `Spectrum.samples` does.

        The transform ignores the imaginary parts at 0 Hz and at half the sampling rate.
        """
        batch = spectra.shape[0]
        answers = spectra.reshape(2 * batch, 2, self._bins, self._frames)
        found = np.empty((2 * batch, self._hop * (self._frames - 1)), np.float32)
        # Bins from `bins` on stay 0.
        padded = np.zeros((_FRAMES_AT_ONCE, self._n_fft // 2 + 1), np.complex64)
        for parts, samples in zip(answers, found, strict=True):
            whole = np.zeros((self._frames + self._blocks - 1, self._hop), np.float32)
            for some in self._some_frames():
                given = padded[: some.stop - some.start]
                _parts(given)[:, : self._bins] = parts[:, :, some].transpose(2, 1, 0)
                pieces = fft.irfft(given, self._n_fft)
                pieces *= self._window
                self._add(whole, pieces, some.start)
            np.divide(self._cut(whole), self._envelope, out=samples)
        return found.reshape(batch, 2, -1)

    def _some_frames(self) -> Iterator[slice]:
        for first in range(0, self._frames, _FRAMES_AT_ONCE):
            yield slice(first, min(first + _FRAMES_AT_ONCE, self._frames))

    def _add(self, whole: Samples, pieces: Samples, first: int) -> None:
        """Add [frame, n_fft], of which the first is frame number `first`, to [hop number, sample]."""
        for block in range(self._blocks):
            part = pieces[:, block * self._hop : (block + 1) * self._hop]
            whole[first + block : first + block + len(part), : part.shape[1]] += part

    def _cut(self, whole: Samples) -> Samples:
        """Return [hop number, sample] as samples, without half a window at both ends."""
        start = self._n_fft // 2
        return whole.reshape(-1)[start : start + self._hop * (self._frames - 1)]


def _parts(spectra: npt.NDArray[np.complex64]) -> Samples:
    """Return the real and imaginary parts [frame, bin, 2] of spectra [frame, bin], in the same memory."""
    return spectra.view(np.float32).reshape(*spectra.shape, 2)
