"""Runs MDX networks on a GPU: onnxruntime computes on torch's memory, and torch the spectra."""

import threading

import numpy as np
import torch

from processor.separation import gpu
from processor.separation.architectures.mdx_parameters import HOP_LENGTH, MdxParameters
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.architectures.spectrum import Spectrum
from processor.separation.device import DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.core import OnnxSource, Plan
from processor.separation.runtimes.opening import open_cores

# These networks are large convolutions, which keep a GPU busy with few chunks.
MOST_AT_ONCE = 4


def open_network(
    source: OnnxSource, parameters: MdxParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network by the plan's runtime. Raises an error of the runtime where it refuses the file."""
    (core,) = open_cores((source,), plan, device)
    sizes = (parameters.n_fft, HOP_LENGTH, parameters.bins, parameters.frames)
    spectrum = Spectrum(*sizes, device.torch_device)
    compensate = np.float32(parameters.compensate)
    # One run of the network at a time: a second one would cost memory. Its spectra are computed meanwhile.
    one_run = threading.Lock()

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode():
            spectra = spectrum.of(gpu.to_device(chunks, device))
            with one_run:
                (answer,) = core(spectra)
            samples: Samples = gpu.to_host(spectrum.samples(answer))[:, None] * compensate
            return samples

    return ReadyNetwork(gpu.runner(run, device, on_cpu=1, most=MOST_AT_ONCE), core.placement, threads=2)
