"""Splits a network of Demucs v4 into its transforms and its core.

The library's `forward` calls four methods for what is complex: `_spec`, `_magnitude`, `_mask` and `_ispec`.
The edges call these; in the core the same `forward` gets a stand-in for each.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from processor.separation.runtimes.core import CannotConvert, RunCore


class Edges:
    """Separates samples with a core between spectra, in float32.

    `network` may be without weights: only its transforms are used.
    """

    def __init__(self, network: Any):
        self._network = network
        self._is_split = is_split(network)

    def separate(self, samples: Tensor, core: RunCore) -> Tensor:
        """Separate [batch, 2, n] into [batch, source, 2, n]."""
        if not self._is_split:
            return core(samples)[0]
        spectra = self._network._spec(samples)
        found, waves = core(samples, self._network._magnitude(spectra).contiguous())
        whole = self._network._mask(spectra, found.to(samples.device))
        answer: Tensor = self._network._ispec(whole, samples.shape[-1]) + waves.to(samples.device)
        return answer


def is_split(network: Any) -> bool:
    """Tell whether the core is apart from the transforms: where the network takes spectra as channels."""
    return bool(getattr(network, "cac", False) and getattr(network, "hybrid", True))


def require_convertible(network: Any, samples: int) -> None:
    """Raise CannotConvert for a network that OpenVINO cannot run; `samples` is the length of a segment."""
    if not is_split(network):
        raise CannotConvert("it masks complex spectra")
    if not hasattr(network, "valid_length") or network.valid_length(1) != samples:
        raise CannotConvert("the ends of songs are segments of other lengths")


class Core(nn.Module):
    """Runs the library's network between its transforms; the whole network where it is not split."""

    def __init__(self, network: Any):
        super().__init__()
        network = copy.copy(network)  # of the same weights; the edges use the original
        self._network = network
        self._between = _Between()
        if is_split(network):
            network._spec, network._magnitude = self._between.spectra, self._between.magnitude
            network._mask, network._ispec = self._between.mask, self._between.samples

    def forward(self, samples: Tensor, *spectra: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the sources' spectra and the sum of their other halves' samples.

        `samples` are [batch, 2, n], `spectra` [batch, channel × 2, bin, frame]. The answers have an axis of
        sources after the batch.
        """
        if not spectra:
            answer: Tensor = self._network(samples)
            return answer
        (self._between.given,) = spectra
        waves: Tensor = self._network(samples)
        return self._between.found, waves


class _Between:
    """Stands for a network's transforms, and keeps the spectra that it is given and finds."""

    given: Tensor
    found: Tensor

    def spectra(self, samples: Tensor) -> Tensor:
        return self.given

    def magnitude(self, spectra: Tensor) -> Tensor:
        return spectra

    def mask(self, spectra: Tensor, found: Tensor) -> Tensor:
        return found

    def samples(self, found: Tensor, length: int) -> float:
        self.found = found
        return 0.0  # which the network adds to the other half's samples


def example(network: Any, samples: int) -> tuple[Tensor, ...]:
    """Return the core's inputs for one segment of `samples` samples."""
    wave = torch.rand(1, 2, samples, generator=torch.Generator().manual_seed(0))
    return (wave, network._magnitude(network._spec(wave))) if is_split(network) else (wave,)
