"""Converts between samples and the spectra of MDX networks, as the library's `STFT` does, at half its cost.

(The library copies each spectrum five times, and `torch.istft` sums the windows again for each chunk.)
"""

import torch
from torch import Tensor

from processor.separation.architectures.mdx_parameters import ZEROED_BINS
from processor.separation.architectures.real_ends import make_ends_real


class Spectrum:
    """Converts between samples [batch, 2, hop * (frames - 1)] and spectra [batch, 4, bins, frames], float32.

    The four are the left channel's real and imaginary part, then the right channel's, of an STFT with a
    periodic Hann window of `n_fft` samples. Bins from `bins` on are left out, and 0 on the way back.
    """

    def __init__(self, n_fft: int, hop: int, bins: int, frames: int, device: str):
        self._n_fft, self._hop, self._bins, self._frames = n_fft, hop, bins, frames
        self._window = torch.hann_window(n_fft, device=device)
        self._envelope = self._overlap_add((self._window**2).expand(1, frames, n_fft))

    def of(self, samples: Tensor) -> Tensor:
        """Return the spectra of `samples`, with the lowest three bins set to 0."""
        batch = samples.shape[0]
        spectra = torch.stft(
            samples.reshape(2 * batch, -1), self._n_fft, self._hop, window=self._window, return_complex=True
        )
        parts = torch.view_as_real(spectra[:, : self._bins]).permute(0, 3, 1, 2)
        answer = parts.reshape(batch, 4, self._bins, self._frames)
        answer[:, :, :ZEROED_BINS] = 0
        return answer

    def samples(self, spectra: Tensor) -> Tensor:
        """Return the samples of `spectra`: Σ window × inverse FFT, divided by Σ window².

        Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.
        """
        batch = spectra.shape[0]
        shape = (2 * batch, self._frames, self._n_fft // 2 + 1)
        whole = torch.zeros(shape, dtype=torch.complex64, device=spectra.device)
        parts = spectra.reshape(2 * batch, 2, self._bins, self._frames)
        torch.view_as_real(whole)[:, :, : self._bins] = parts.permute(0, 3, 2, 1)
        make_ends_real(whole)
        pieces = torch.fft.irfft(whole, self._n_fft).mul_(self._window)
        return self._overlap_add(pieces).div_(self._envelope).reshape(batch, 2, -1)

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        """Add up [channel, frame, n_fft] to [channel, hop * (frames - 1)]; cut half a window at both ends."""
        hop, blocks = self._hop, -(-self._n_fft // self._hop)
        total = pieces.new_zeros(pieces.shape[0], self._frames + blocks - 1, hop)
        for block in range(blocks):
            part = pieces[:, :, block * hop : (block + 1) * hop]
            total[:, block : block + self._frames, : part.shape[2]] += part
        start = self._n_fft // 2
        return total.reshape(pieces.shape[0], -1)[:, start : start + hop * (self._frames - 1)]
