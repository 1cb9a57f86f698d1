"""Converts between samples and the real spectra of MDX networks and MDX23C on the CPU, without torch."""

import numpy as np
import numpy.typing as npt

from processor.separation.architectures.array_stft import FRAMES_AT_ONCE, ArrayStft, Spectra
from processor.separation.overlap_add import Samples

RealSpectra = npt.NDArray[np.float32]  # [batch, 4, bin, frame]


class ArraySpectrum:
    """Does with arrays what `Spectrum` does with tensors; see there for shapes.

    `zeroed` is the number of the lowest bins that are set to 0 before the network. `normalized` scales both
    ways by √n_fft.
    """

    def __init__(
        self, n_fft: int, hop: int, bins: int, frames: int, zeroed: int = 0, normalized: bool = False
    ):
        self._stft = ArrayStft(n_fft, hop, normalized=normalized)
        self._length = hop * (frames - 1)
        self._bins, self._frames, self._zeroed = bins, frames, zeroed

    def of(self, samples: Samples) -> RealSpectra:
        """Return the spectra of `samples` [batch, 2, n], with the lowest bins set to 0."""
        batch, channels, _ = samples.shape
        answer = np.empty((batch * channels, 2, self._bins, self._frames), np.float32)
        for channel, parts in zip(samples.reshape(batch * channels, -1), answer, strict=True):
            for some, spectra in self._stft.spectra(channel):
                parts[:, :, some] = _parts(spectra[:, : self._bins]).transpose(2, 1, 0)
        answer[:, :, : self._zeroed] = 0
        return answer.reshape(batch, 2 * channels, self._bins, self._frames)

    def samples(self, spectra: RealSpectra) -> Samples:
        """Return the samples [batch, 2, n] of `spectra`, as `Spectrum.samples` does."""
        batch = spectra.shape[0]
        found = np.empty((2 * batch, self._length), np.float32)
        # Bins from `bins` on stay 0.
        padded = np.zeros((FRAMES_AT_ONCE, self._stft.bins), np.complex64)

        def inverse(parts: RealSpectra) -> Samples:
            def some_spectra(some: slice) -> Spectra:
                given = padded[: some.stop - some.start]
                _parts(given)[:, : self._bins] = parts[:, :, some].transpose(2, 1, 0)
                return given

            return self._stft.samples(self._frames, some_spectra)

        for parts, samples in zip(
            spectra.reshape(2 * batch, 2, self._bins, self._frames), found, strict=True
        ):
            samples[:] = inverse(parts)
        return found.reshape(batch, 2, -1)


def _parts(spectra: Spectra) -> Samples:
    """Return the real and imaginary parts [frame, bin, 2] of spectra [frame, bin], in the same memory."""
    return spectra.view(np.float32).reshape(*spectra.shape, 2)
