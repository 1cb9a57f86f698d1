"""Computes a core on the CPU by OpenVINO."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

from processor.separation.runtimes import cpus
from processor.separation.runtimes.core import CoreSource, Precision, RunCore, Shapes

VERSION: str = openvino.__version__.partition("-")[0]
PLACEMENT = "OpenVINO CPU"
_TYPES: dict[Precision, Any] = {
    "fp32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "fp16": openvino.Type.f16,
}
_FAST: tuple[Precision, ...] = ("bf16", "fp16")


class OpenVinoCore:
    """Runs a core on inputs of the shapes that it was compiled for, which is faster than for any shape.

    `otherwise` loads what computes inputs of other shapes, such as the only chunk of a very short song.
    """

    def __init__(self, path: Path, shapes: Shapes, precision: Precision, otherwise: Callable[[], RunCore]):
        """`path` is an OpenVINO or an ONNX file. Raises RuntimeError where OpenVINO refuses it."""
        self.placement: tuple[str, ...] = (PLACEMENT,)
        runtime = openvino.Core()
        model = runtime.read_model(path)
        model.reshape({number: list(shape) for number, shape in enumerate(shapes)})
        self._shapes = shapes
        self._request = runtime.compile_model(model, "CPU", _settings(precision)).create_infer_request()
        self._otherwise = otherwise
        self._other: RunCore | None = None

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if tuple(tuple(value.shape) for value in inputs) != self._shapes:
            return self._loaded_other()(*inputs)
        # Shared memory: the inputs are read where they are. The answers are the request's own memory, which
        # the next run writes again, so they are copied.
        answers = self._request.infer([value.contiguous().numpy() for value in inputs], share_inputs=True)
        return tuple(torch.from_numpy(np.array(answer, np.float32)) for answer in answers.to_tuple())

    def _loaded_other(self) -> RunCore:
        if self._other is None:
            self._other = self._otherwise()
        return self._other


def fast_precision() -> Precision | None:
    """Return the precision that this CPU has instructions for beside float32; None without one."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return next((precision for precision in _FAST if precision.upper() in capabilities), None)


def convert(source: CoreSource, path: Path) -> None:
    """Write the core as an OpenVINO file with float32 weights.

    The weights are in a second file that ends in .bin. Raises Exception where the core cannot be converted.
    """
    # Without no_grad tracing keeps each activation: 24 GB for a BS-Roformer instead of 5. The trace is not
    # checked against a second one, which differs: networks keep tables from their first run.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of each shape that becomes a constant
        decoder = TorchScriptPythonDecoder(
            source.module(),
            example_input=source.traced or source.example,
            trace_kwargs={"check_trace": False},
        )
        model = openvino.convert_model(decoder)
    model.reshape({number: list(shape) for number, shape in enumerate(source.shapes)})
    openvino.save_model(model, path, compress_to_fp16=False)


def _settings(precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": cpus.usable(),
    }
