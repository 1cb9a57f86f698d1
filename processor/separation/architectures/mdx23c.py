"""Splits an MDX23C network (TFC-TDF v3) of the library into its spectra and its core."""

from typing import Any

import torch
from torch import Tensor, nn

from processor.separation.architectures.stft import Stft
from processor.separation.runtimes.core import RunCore

CHANNELS = 2


class Edges:
    """Separates samples with a core that takes and gives spectra, both in float32.

    `config` is the model's configuration; its `dim_f` are the bins of the core.
    """

    def __init__(self, config: Any, stems: int, device: str):
        audio, model = config.audio, config.model
        # Each scale halves the frames, or what `scale` says.
        self._least_frames = 2 * int(model.scale[0]) ** int(model.num_scales)
        self._n_fft, self._hop, self._bins = int(audio.n_fft), int(audio.hop_length), int(audio.dim_f)
        self._stems = stems
        self._stft = Stft(self._n_fft, self._hop, device)

    def separate(self, samples: Tensor, core: RunCore) -> Tensor:
        """Separate [batch, 2, n] into [batch, stem, 2, m]."""
        spectra = torch.view_as_real(self._stft.spectra(samples)[..., : self._bins])
        batch, _, frames = spectra.shape[:3]
        # [batch, channel, frame, bin, 2] to [batch, channel × 2, bin, frame]
        values = spectra.permute(0, 1, 4, 3, 2).reshape(batch, 2 * CHANNELS, self._bins, frames)
        (found,) = core(values)
        parts = found.reshape(batch, self._stems, CHANNELS, 2, self._bins, frames)
        shape = (batch, self._stems, CHANNELS, frames, self._n_fft // 2 + 1)
        whole = torch.zeros(shape, dtype=torch.complex64, device=samples.device)
        torch.view_as_real(whole)[..., : self._bins, :] = parts.permute(0, 1, 2, 5, 4, 3)
        return self._stft.samples(whole)

    def example(self, samples: int) -> tuple[Tensor, ...]:
        """Return the core's input for one chunk of `samples` samples."""
        return self._input(samples // self._hop + 1)

    def traced(self) -> tuple[Tensor, ...]:
        """Return the core's input for a conversion, which holds for any number of frames."""
        return self._input(self._least_frames)

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
