"""Runs MDXC's networks on the CPU by OpenVINO, from arrays to arrays and without torch."""

from typing import Protocol

import numpy as np

from processor.models.model_files import ModelFiles
from processor.separation.architectures.array_spectrum import ArraySpectrum
from processor.separation.architectures.array_stft import ArrayStft, Spectra
from processor.separation.architectures.mdxc_parameters import Mdx23cSettings, MdxcParameters
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.architectures.roformer_settings import CHANNELS, Settings
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.array_network import ArrayNetwork
from processor.separation.runtimes.core import Plan, Shapes
from processor.separation.runtimes.openvino_network import OpenVinoNetwork


class _Ends(Protocol):
    """Separates chunks with a network between spectra."""

    def shapes(self, samples: int) -> Shapes:
        """Return the shapes of the network's inputs for one chunk of so many samples."""

    def separate(self, chunk: Samples, network: ArrayNetwork) -> Samples:
        """Separate [2, n] into [stem, 2, m]."""


def open_network(
    files: ModelFiles, parameters: MdxcParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network. Raises RuntimeError where OpenVINO refuses its file."""
    ends = _ends(parameters)
    (path,) = plan.core_files
    shapes = ends.shapes(parameters.hop * (parameters.segment - 1))
    network = OpenVinoNetwork(path, shapes, plan.precision)

    def run(chunks: Samples) -> Samples:
        return np.stack([ends.separate(chunk, network) for chunk in chunks])

    return ReadyNetwork(Batches(run, 1), network.placement, threads=0)


def _ends(parameters: MdxcParameters) -> _Ends:
    if isinstance(parameters.settings, Settings):
        return RoformerEnds(parameters.settings)
    return Mdx23cEnds(parameters.settings)


class RoformerEnds:
    """Does with arrays what `roformer.Edges` does with tensors."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._stft = ArrayStft(settings.n_fft, settings.hop, settings.win_length, settings.normalized)

    def shapes(self, samples: int) -> Shapes:
        return ((1, self._stft.frames(samples), self._settings.values),)

    def separate(self, chunk: Samples, network: ArrayNetwork) -> Samples:
        spectra = self._spectra(chunk)
        (masks,) = network(spectra.view(np.float32).reshape(1, len(spectra), -1))
        length = chunk.shape[-1] if self._settings.keeps_length else None
        shape = (self._settings.stems, *spectra.shape)
        return self._samples(masks.view(np.complex64).reshape(shape), spectra, length)

    def _spectra(self, chunk: Samples) -> Spectra:
        """Return the spectra [frame, bin, channel]."""
        shape = (self._stft.frames(chunk.shape[-1]), self._stft.bins, CHANNELS)
        spectra = np.empty(shape, np.complex64)
        for number, channel in enumerate(chunk):
            for some, found in self._stft.spectra(channel):
                spectra[some, :, number] = found
        return spectra

    def _samples(self, masks: Spectra, spectra: Spectra, length: int | None) -> Samples:
        """Return the samples of the spectra under each mask, [stem, frame, bin, channel]."""

        def channel(mask: Spectra, number: int) -> Samples:
            def masked(some: slice) -> Spectra:
                product: Spectra = mask[some, :, number] * spectra[some, :, number]
                return product

            return self._stft.samples(len(spectra), masked, length)

        return np.stack([[channel(mask, number) for number in range(CHANNELS)] for mask in masks])


class Mdx23cEnds:
    """Does with arrays what `mdx23c.Edges` does with tensors."""

    def __init__(self, settings: Mdx23cSettings):
        self._settings = settings
        self._known: dict[int, ArraySpectrum] = {}

    def shapes(self, samples: int) -> Shapes:
        return ((1, 2 * CHANNELS, self._settings.bins, self._frames(samples)),)

    def separate(self, chunk: Samples, network: ArrayNetwork) -> Samples:
        spectrum = self._spectrum(self._frames(chunk.shape[-1]))
        spectra = spectrum.of(chunk[None])
        (found,) = network(spectra)
        return spectrum.samples(found.reshape(self._settings.stems, *spectra.shape[1:]))

    def _frames(self, samples: int) -> int:
        return samples // self._settings.hop + 1

    def _spectrum(self, frames: int) -> ArraySpectrum:
        """Return what converts chunks of `frames` frames: short songs have other chunks."""
        if frames not in self._known:
            settings = self._settings
            self._known[frames] = ArraySpectrum(settings.n_fft, settings.hop, settings.bins, frames)
        return self._known[frames]
