"""Runs a network on the CPU by OpenVINO, from arrays to arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from processor.separation.runtimes import (
    batch_loops,
    channels_last,
    cpus,
    early_transposes,
    joined_channels,
    mapped_file,
)
from processor.separation.runtimes.array_network import Array
from processor.separation.runtimes.core import Precision, Shapes

VERSION: str = openvino.__version__.partition("-")[0]
PLACEMENT = "OpenVINO CPU"
_TYPES: dict[Precision, Any] = {
    "fp32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "fp16": openvino.Type.f16,
}
_FAST: tuple[Precision, ...] = ("bf16", "fp16")


class OpenVinoNetwork:
    """Runs a network compiled for the shapes of its inputs, which is faster than for any shape.

    Inputs of other shapes, as those of short songs, have it compiled again. Each compiled network holds the
    weights once more, so only the latest is kept.
    """

    placement: tuple[str, ...] = (PLACEMENT,)

    def __init__(self, path: Path, shapes: Shapes, precision: Precision):
        """`path` is an OpenVINO or an ONNX file. Raises RuntimeError where OpenVINO refuses it."""
        self._path, self._precision = path, precision
        self._request: Any = None
        self._shapes: Shapes = ()
        self._answer_shapes: Shapes = ()
        self._compile(shapes)

    def _compile(self, shapes: Shapes) -> None:
        # Forget the old one first, also for the case that the memory does not suffice for another.
        self._request, self._shapes = None, ()
        runtime = openvino.Core()
        model = runtime.read_model(self._path)
        model.reshape({number: list(shape) for number, shape in enumerate(shapes)})
        channels_last.put_channels_last(model)
        joined_channels.part_convolutions(model)
        early_transposes.transpose_early(model)
        # Half precision has half the memory without loops, and runs a quarter longer in them.
        if self._precision == "fp32":
            batch_loops.loop_over_batches(model, batch_loops.PieceSizes.on(cpus.usable()))
        settings = _settings(self._precision)
        with mapped_file.released(self._path.with_suffix(".bin")):
            compiled = runtime.compile_model(model, "CPU", settings)
            self._request = compiled.create_infer_request()
        self._answer_shapes = tuple(tuple(output.shape) for output in compiled.outputs)
        self._shapes = shapes

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the network's answers. The inputs lie in memory without gaps."""
        shapes = tuple(value.shape for value in inputs)
        if shapes != self._shapes:
            self._compile(shapes)
        # Shared memory: the inputs are read where they are, and the answers are written where they stay. The
        # request's own memory would be written again by the next run.
        answers = tuple(np.empty(shape, np.float32) for shape in self._answer_shapes)
        for number, answer in enumerate(answers):
            self._request.set_output_tensor(number, openvino.Tensor(answer, shared_memory=True))
        self._request.infer(list(inputs), share_inputs=True, share_outputs=True)
        return answers


def fast_precision() -> Precision | None:
    """Return the precision that this CPU has instructions for beside float32; None without one."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return next((precision for precision in _FAST if precision.upper() in capabilities), None)


def _settings(precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": cpus.usable(),
    }
