"""Computes networks by OpenVINO in float32, as tests of rewritten networks do before and after."""

from collections.abc import Sequence

import numpy as np
import openvino


def compiled(model: openvino.Model) -> openvino.CompiledModel:
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.f32})


def answer(model: openvino.Model, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The model's one answer."""
    return np.array(compiled(model)(list(inputs))[0])
