"""Splits an MDX23C network (TFC-TDF v3) of the library into its spectra and its core."""

from typing import Any

import torch
from torch import Tensor, nn

from processor.separation.architectures.mdxc_parameters import Mdx23cSettings
from processor.separation.architectures.stft import Stft
from processor.separation.runtimes.core import RunCore

CHANNELS = 2


class Edges:
    """Separates samples with a core that takes and gives spectra, both in float32."""

    def __init__(self, settings: Mdx23cSettings, device: str):
        self._settings = settings
        self._n_fft, self._bins = settings.n_fft, settings.bins
        self._stft = Stft(settings.n_fft, settings.hop, device)

    def separate(self, samples: Tensor, core: RunCore) -> Tensor:
        """Separate [batch, 2, n] into [batch, stem, 2, m]."""
        spectra = torch.view_as_real(self._stft.spectra(samples)[..., : self._bins])
        batch, _, frames = spectra.shape[:3]
        # [batch, channel, frame, bin, 2] to [batch, channel × 2, bin, frame]
        values = spectra.permute(0, 1, 4, 3, 2).reshape(batch, 2 * CHANNELS, self._bins, frames)
        (found,) = core(values)
        parts = found.reshape(batch, self._settings.stems, CHANNELS, 2, self._bins, frames)
        shape = (batch, self._settings.stems, CHANNELS, frames, self._n_fft // 2 + 1)
        whole = torch.zeros(shape, dtype=torch.complex64, device=samples.device)
        torch.view_as_real(whole)[..., : self._bins, :] = parts.permute(0, 1, 2, 5, 4, 3)
        return self._stft.samples(whole)

    def example(self, samples: int) -> tuple[Tensor, ...]:
        """Return the core's input for one chunk of `samples` samples."""
        return self._input(samples // self._settings.hop + 1)

    def traced(self) -> tuple[Tensor, ...]:
        """Return the core's input for a conversion, which holds for any number of frames."""
        return self._input(self._settings.least_frames)

    def _input(self, frames: int) -> tuple[Tensor, ...]:
        shape = (1, 2 * CHANNELS, self._bins, frames)
        return (torch.rand(shape, generator=torch.Generator().manual_seed(0)),)


class Core(nn.Module):
    """Runs the library's network on spectra."""

    def __init__(self, network: Any):
        super().__init__()
        network.stft = _NoStft()
        self._network = network

    def forward(self, spectra: Tensor) -> Tensor:
        """Return the stems' spectra [batch, stem, channel × 2, bin, frame]; a single stem has no axis.

        `spectra` are [batch, channel × 2, bin, frame].
        """
        answer: Tensor = self._network(spectra)
        return answer


class _NoStft:
    """Stands for the network's own STFT, and leaves everything as it is."""

    def __call__(self, spectra: Tensor) -> Tensor:
        return spectra

    def inverse(self, spectra: Tensor) -> Tensor:
        return spectra
