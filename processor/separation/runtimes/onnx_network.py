"""Runs an ONNX file by onnxruntime, from arrays to arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from processor.separation.runtimes.array_network import Array


class OnnxNetwork:
    """Runs the network of an ONNX file in float32."""

    def __init__(self, path: Path, providers: Sequence[str]):
        """`providers` are onnxruntime's. Raises an error of onnxruntime where the file is no network."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The memory pattern is one block for all activations: 130 MB more for Spleeter, and no faster.
        options.enable_mem_pattern = False
        # Threads that spin between two operators take the CPU from other jobs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        self._names = [port.name for port in self.session.get_inputs()]
        # Some files are made for a fixed number of chunks, one.
        self.is_for_one = self.session.get_inputs()[0].shape[0] == 1

    @property
    def placement(self) -> tuple[str, ...]:
        return tuple(self.session.get_providers())

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the network's answers; inputs and answers have the batch as their first axis."""
        if self.is_for_one and len(inputs[0]) > 1:
            alone = [self(*(value[row : row + 1] for value in inputs)) for row in range(len(inputs[0]))]
            return tuple(np.concatenate(answers) for answers in zip(*alone, strict=True))
        return tuple(self.session.run(None, dict(zip(self._names, inputs, strict=True))))
