"""Runs Demucs v4 on the CPU by OpenVINO, from arrays to arrays and without torch."""

import numpy as np

from processor.separation.architectures.array_spectrum import ArraySpectrum
from processor.separation.architectures.demucs_network import DemucsNetwork
from processor.separation.architectures.demucs_parameters import DemucsParameters
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.batches import Batches
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.array_network import ArrayNetwork
from processor.separation.runtimes.core import Plan, Shapes
from processor.separation.runtimes.openvino_network import OpenVinoNetwork

# The frames that the network does not get, on each side.
_EDGE_FRAMES = 2


def open_network(parameters: DemucsParameters, plan: Plan) -> DemucsNetwork:
    """Open the networks. Raises RuntimeError where OpenVINO refuses a file."""
    ends = DemucsEnds(parameters.n_fft, parameters.segment)
    networks = [OpenVinoNetwork(path, ends.shapes, plan.precision) for path in plan.core_files]

    def run(chunks: Samples) -> Samples:
        answer: Samples = sum(
            ends.separate(chunks, network) * share[:, None, None]
            for network, share in zip(networks, parameters.shares, strict=True)
        )
        return answer

    ready = ReadyNetwork(Batches(run, 1), networks[0].placement, threads=0)
    return DemucsNetwork(ready, parameters.sources, parameters.segment, lambda length: parameters.segment)


class DemucsEnds:
    """Does with arrays what a network's `_spec`, `_magnitude`, `_mask` and `_ispec` do with tensors.

    The segment is mirrored at both ends, so that each frame but those at the edges is `hop` samples of it.
    """

    def __init__(self, n_fft: int, segment: int):
        self._hop, self._bins, self._segment = n_fft // 4, n_fft // 2, segment
        self._frames = -(-segment // self._hop)
        self._before = self._hop // 2 * 3
        self._after = self._before + self._frames * self._hop - segment
        frames = self._frames + 2 * _EDGE_FRAMES
        self._spectrum = ArraySpectrum(n_fft, self._hop, self._bins, frames, normalized=True)

    @property
    def shapes(self) -> Shapes:
        """The shapes of the network's inputs for one segment."""
        return ((1, 2, self._segment), (1, 4, self._bins, self._frames))

    def separate(self, samples: Samples, network: ArrayNetwork) -> Samples:
        """Separate [1, 2, segment] into [1, source, 2, segment]."""
        padded = np.pad(samples, ((0, 0), (0, 0), (self._before, self._after)), mode="reflect")
        inner = slice(_EDGE_FRAMES, _EDGE_FRAMES + self._frames)
        spectra = np.ascontiguousarray(self._spectrum.of(padded)[..., inner])
        found, waves = network(samples, spectra)
        edges = ((0, 0), (0, 0), (0, 0), (_EDGE_FRAMES, _EDGE_FRAMES))
        whole = self._spectrum.samples(np.pad(found[0], edges))
        answer: Samples = whole[None, ..., self._before : self._before + self._segment] + waves
        return answer
