"""Computes a core by OpenVINO from tensors to tensors, and converts torch's networks for it."""

import warnings
from pathlib import Path

import openvino
import torch
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

from processor.separation.runtimes.core import CoreSource, Precision, Shapes
from processor.separation.runtimes.openvino_network import OpenVinoNetwork


class OpenVinoCore:
    """Runs a core on inputs of the shapes that it was compiled for, or compiles it for others."""

    def __init__(self, path: Path, shapes: Shapes, precision: Precision):
        """`path` is an OpenVINO or an ONNX file. Raises RuntimeError where OpenVINO refuses it."""
        self._network = OpenVinoNetwork(path, shapes, precision)
        self.placement = self._network.placement

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        answers = self._network(*(value.contiguous().numpy() for value in inputs))
        return tuple(torch.from_numpy(answer) for answer in answers)


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
