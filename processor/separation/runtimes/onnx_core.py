"""Computes a core by onnxruntime from tensors to tensors, on a GPU without a copy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from processor.separation.device import CUDA_PROVIDER, DeviceChoice
from processor.separation.runtimes.core import Shapes
from processor.separation.runtimes.onnx_network import OnnxNetwork


class OnnxCore:
    """Runs the network of an ONNX file in float32."""

    def __init__(self, path: Path, device: DeviceChoice):
        """Raises an error of onnxruntime where the file is no network."""
        self._network = OnnxNetwork(path, device.providers)
        self._device = device.torch_device
        self._is_on_gpu = device.torch_device == "cuda" and CUDA_PROVIDER in self.placement
        self._answer_shapes: dict[Shapes, Shapes] = {}

    @property
    def placement(self) -> tuple[str, ...]:
        return self._network.placement

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self._network.is_for_one and len(inputs[0]) > 1:
            alone = [self(*(value[row : row + 1] for value in inputs)) for row in range(len(inputs[0]))]
            return tuple(torch.cat(answers) for answers in zip(*alone, strict=True))
        shapes = tuple(tuple(value.shape) for value in inputs)
        if self._is_on_gpu and shapes in self._answer_shapes:
            return run_in_place(self._network.session, inputs, self._answer_shapes[shapes])
        found = self._network(*(value.cpu().numpy() for value in inputs))
        answers = tuple(torch.from_numpy(answer).to(self._device) for answer in found)
        # A file does not always tell its answers' shapes, so the first run of each shape shows them.
        self._answer_shapes[shapes] = tuple(tuple(answer.shape) for answer in answers)
        return answers


def run_in_place(session: Any, inputs: Sequence[Tensor], answer_shapes: Shapes) -> tuple[Tensor, ...]:
    """Run a session on float32 tensors where they lie, on one device; return its answers there.

    `answer_shapes` are the shapes of the session's answers for these inputs. Raises errors of onnxruntime.
    """
    device = inputs[0].device
    place = (device.type, device.index or 0, np.float32)
    binding = session.io_binding()
    held = [
        value.contiguous() for value in inputs
    ]  # onnxruntime gets addresses, so these must outlive the run
    answers = [torch.empty(shape, device=device) for shape in answer_shapes]
    for port, value in zip(session.get_inputs(), held, strict=True):
        binding.bind_input(port.name, *place, tuple(value.shape), value.data_ptr())
    for port, value in zip(session.get_outputs(), answers, strict=True):
        binding.bind_output(port.name, *place, tuple(value.shape), value.data_ptr())
    if device.type == "cuda":
        # onnxruntime's own stream does not wait for torch's: neither for the inputs, nor for what still reads
        # the memory that the answers get.
        torch.cuda.current_stream().synchronize()
    session.run_with_iobinding(binding)  # returns when the answers are there
    binding.synchronize_outputs()
    return tuple(answers)
