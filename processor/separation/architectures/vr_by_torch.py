"""Runs VR's networks by torch."""

from typing import Any, Protocol, cast

import torch
from torch import Tensor

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import gpu
from processor.separation.architectures import library
from processor.separation.architectures.loading import loading
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.architectures.vr_parameters import WINDOW, VrParameters
from processor.separation.batches import Batches
from processor.separation.device import CPU, DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.core import CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")


class _VrModel(Protocol):
    """The library's VR model."""

    model_run: Any

    def _ensure_model_loaded(self, nn_arch_size: int) -> None: ...


class Core(torch.nn.Module):
    """Runs the library's network."""

    def __init__(self, network: Any, offset: int):
        """Raises ValueError where the answer does not lack `offset` frames on each side."""
        super().__init__()
        if network.offset != offset:
            raise ValueError(f"its network leaves out {network.offset} frames on each side, not {offset}")
        self._network = network

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Return the primary stem's share of each bin; both are [patch, 2, bin, frame]."""
        mask: Tensor = self._network.predict_mask(magnitudes)
        return mask


def open_network(
    files: ModelFiles, parameters: VrParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network by the plan's runtime. Raises ModelUnavailable and an error of the runtime."""
    (core,) = open_cores([source(files, parameters)], plan, device)

    def run(patches: Samples) -> Samples:
        with torch.inference_mode():
            (masks,) = core(torch.from_numpy(patches).to(device.torch_device))
            return cast(Samples, masks.cpu().numpy())

    return ReadyNetwork(Batches(run, 1, gpu.GpuMemory().release), core.placement, threads=0)


def source(files: ModelFiles, parameters: VrParameters) -> CoreSource:
    """Return the network's core."""

    def module() -> torch.nn.Module:
        with loading(files):
            from audio_separator.separator.architectures.vr_separator import VRSeparator

            model: _VrModel = VRSeparator(library.common_config(files, CPU), {"window_size": WINDOW})
            model._ensure_model_loaded(parameters.size)
            return Core(model.model_run, parameters.offset).eval()

    generator = torch.Generator().manual_seed(0)
    return CoreSource(module, (torch.rand(parameters.shape, generator=generator),))
