"""Converts between samples and spectra as `torch.stft` and `torch.istft` do, the way back at half its cost.

(`torch.istft` copies the spectra and sums the windows again for each chunk.)
"""

import torch
from torch import Tensor

from processor.separation.architectures.real_ends import make_ends_real


class Stft:
    """Converts between samples [..., n] and complex spectra [..., frame, bin].

    The frames have `n_fft` samples, are `hop` samples apart, and the first is centred on the first sample.
    The window is a periodic Hann window of `win_length` samples. `normalized` scales both ways by √n_fft.
    """

    def __init__(
        self, n_fft: int, hop: int, device: str, win_length: int | None = None, normalized: bool = False
    ):
        self._n_fft, self._hop = n_fft, hop
        self._norm = "ortho" if normalized else "backward"
        win_length = win_length or n_fft
        before = (n_fft - win_length) // 2
        window = torch.hann_window(win_length, device=device)
        self._window = torch.nn.functional.pad(window, (before, n_fft - win_length - before))
        self._known = (0, window)  # the frames of the last spectra, and their envelope

    def spectra(self, samples: Tensor) -> Tensor:
        """Return the spectra of `samples`, which are mirrored at both ends for half a frame."""
        *others, length = samples.shape
        spectra = torch.stft(
            samples.reshape(-1, length),
            self._n_fft,
            self._hop,
            window=self._window,
            normalized=self._norm == "ortho",
            return_complex=True,
        ).transpose(1, 2)  # which is how they lie in memory
        return spectra.reshape(*others, *spectra.shape[1:])

    def samples(self, spectra: Tensor, length: int | None = None) -> Tensor:
        """Return the samples of `spectra`: Σ window × inverse FFT, divided by Σ window².

        `length` is the number of samples, hop × (frames - 1) where it is None. The spectra's imaginary parts
        at both ends are set to 0, in place. Source: Griffin and Lim, "Signal estimation from modified
        short-time Fourier transform", 1984.
        """
        *others, frames, bins = spectra.shape
        wanted = self._hop * (frames - 1) if length is None else length
        make_ends_real(spectra)
        pieces = torch.fft.irfft(spectra.reshape(-1, frames, bins), self._n_fft, norm=self._norm)
        total = self._overlap_add(pieces.mul_(self._window))
        start = self._n_fft // 2
        usable = slice(start, min(start + wanted, self._n_fft + self._hop * (frames - 1)))
        samples = total[:, usable] / self._envelope_of(frames)[:, usable]
        samples = torch.nn.functional.pad(samples, (0, wanted - samples.shape[1]))
        return samples.reshape(*others, wanted)

    def _envelope_of(self, frames: int) -> Tensor:
        """Return Σ window² over `frames` frames, [1, n]."""
        known, envelope = self._known
        if known != frames:
            envelope = self._overlap_add((self._window**2).expand(1, frames, self._n_fft))
            self._known = (frames, envelope)
        return envelope

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        """Add up [channel, frame, n_fft] to [channel, n], where n is at least the samples of all frames."""
        channels, frames, n_fft = pieces.shape
        hop, blocks = self._hop, -(-n_fft // self._hop)
        total = pieces.new_zeros(channels, frames + blocks - 1, hop)
        for block in range(blocks):
            part = pieces[:, :, block * hop : (block + 1) * hop]
            total[:, block : block + frames, : part.shape[2]] += part
        return total.reshape(channels, -1)
