"""Computes a core by torch, on the CPU or a GPU."""

import torch
from torch import Tensor

from processor.separation.device import DeviceChoice


class TorchCore:
    """Runs a core in float32 on the device."""

    def __init__(self, module: torch.nn.Module, device: DeviceChoice):
        self._module = module.to(device.torch_device).eval()
        self.placement: tuple[str, ...] = tuple(
            sorted({str(parameter.device) for parameter in module.parameters()})
        )

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode():
            answer = self._module(*inputs)
        return answer if isinstance(answer, tuple) else (answer,)
