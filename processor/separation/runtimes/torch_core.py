"""Computes a core by torch, on the CPU or a GPU."""

import contextlib
import threading
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from processor.separation.device import CUDA, DeviceChoice
from processor.separation.runtimes.core import Precision, Shapes
from processor.separation.runtimes.cuda_graphs import Call, GraphedCall

_HALF: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
# These types and no subclass: torch's attention reads the weights of one by itself.
_MULTIPLYING = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
)


class TorchCore:
    """Runs a core on the device, one call at a time; inputs and answers are float32 in each precision.

    In half precision, torch's autocast gives half inputs to matrix products, convolutions and attention,
    where nearly all of the time goes. Sums with a float32 tensor stay float32. A network that is half
    throughout is a little faster, but its sums from layer to layer lose bits, and may exceed 65504.

    The weights of products are kept in half. Casting them at each run would take time, and autocast's own
    cache of cast weights cannot be used with CUDA graphs.
    """

    def __init__(
        self, module: nn.Module, device: DeviceChoice, precision: Precision = "fp32", usual: Shapes = ()
    ):
        """`usual` are the inputs' shapes for one chunk, which a GPU runs by CUDA graphs."""
        self._dtype = _HALF.get(precision)
        if self._dtype:
            _halve_weights(module, self._dtype)
        self._module = module.to(device.torch_device).eval()
        self._device = device.torch_device
        self.placement: tuple[str, ...] = tuple(
            sorted({str(parameter.device) for parameter in module.parameters()})
        )
        # A second run at the same time would need as much memory again, and graphs have one place for inputs.
        self._running = threading.Lock()
        graphed = device == CUDA and usual
        self._call: Call = GraphedCall(self._run, usual, self._read_by_graphs) if graphed else self._run

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with self._running:
            return self._call(*inputs)

    def _run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(), self._autocast():
            answer = self._module(*inputs)
            answers = answer if isinstance(answer, tuple) else (answer,)
            return tuple(answer.float() for answer in answers)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device, self._dtype, cache_enabled=False)

    def _read_by_graphs(self) -> tuple[Tensor, ...]:
        """Return the tensors that a captured run reads beside its inputs."""
        return (*self._module.parameters(), *self._module.buffers())


def _halve_weights(module: nn.Module, dtype: torch.dtype) -> None:
    for layer in module.modules():
        if type(layer) in _MULTIPLYING:
            layer.to(dtype)
