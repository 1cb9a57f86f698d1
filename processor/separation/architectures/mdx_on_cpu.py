"""Runs MDX networks on the CPU, from arrays to arrays and without torch."""

import threading

import numpy as np

from processor.separation.architectures.array_spectrum import ArraySpectrum
from processor.separation.architectures.mdx_parameters import HOP_LENGTH, ZEROED_BINS, MdxParameters
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.array_network import ArrayNetwork
from processor.separation.runtimes.core import OnnxSource, Plan


def open_network(
    source: OnnxSource, parameters: MdxParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network by the plan's runtime. Raises an error of the runtime where it refuses the file."""
    network = _opened(source, plan, device)
    sizes = (parameters.n_fft, HOP_LENGTH, parameters.bins, parameters.frames)
    spectrum = ArraySpectrum(*sizes, ZEROED_BINS)
    compensate = np.float32(parameters.compensate)
    # One run of the network at a time: a second one would cost memory. Its spectra are computed meanwhile.
    one_run = threading.Lock()

    def run(chunks: Samples) -> Samples:
        spectra = spectrum.of(chunks)
        with one_run:
            (answer,) = network(spectra)
        return spectrum.samples(answer)[:, None] * compensate

    return ReadyNetwork(Batches(run, 1), network.placement, threads=2)


def _opened(source: OnnxSource, plan: Plan, device: DeviceChoice) -> ArrayNetwork:
    # Import only the runtime that is used.
    if plan.runtime == "openvino":
        from processor.separation.runtimes.openvino_network import OpenVinoNetwork

        (path,) = plan.core_files
        return OpenVinoNetwork(path, source.shapes, plan.precision)
    from processor.separation.runtimes.onnx_network import OnnxNetwork

    return OnnxNetwork(source.path, device.providers)
