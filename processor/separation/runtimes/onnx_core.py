"""Computes a core by onnxruntime, on the CPU or a GPU."""

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from processor.separation.device import DeviceChoice


class OnnxCore:
    """Runs the network of an ONNX file in float32."""

    def __init__(self, path: Path, device: DeviceChoice):
        """Raises an error of onnxruntime where the file is no network."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The memory pattern is one block for all activations: 130 MB more for Spleeter, and no faster.
        options.enable_mem_pattern = False
        # Threads that spin between two operators take the CPU from other jobs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=list(device.providers))
        self._device = device.torch_device

    @property
    def placement(self) -> tuple[str, ...]:
        return tuple(self._session.get_providers())

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [port.name for port in self._session.get_inputs()]
        feed = {name: value.cpu().numpy() for name, value in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(answer).to(self._device) for answer in self._session.run(None, feed))
