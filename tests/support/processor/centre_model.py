"""Makes a model without weights for fast tests: centre-channel extraction as a 13 KB ONNX graph for MDX.

M = (L + R) / 2, S = (L - R) / 2, V = M · max(0, 1 - 8 |S|² / (|M|² + 1e-12)) · 1 / (1 + (160 Hz / f)⁸). The
answer is V on both sides. The model is loaded as any other model, under the name `centre`.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from processor.models import catalogue

NAME = "centre"
N_FFT, BINS, FRAMES_EXPONENT = 6144, 3072, 8
MODEL_DATA = {
    "mdx_dim_f_set": BINS,
    "mdx_dim_t_set": FRAMES_EXPONENT,
    "mdx_n_fft_scale_set": N_FFT,
    "compensate": 1.0,
    "primary_stem": "Vocals",
}
_SAMPLE_RATE = 44100


def write_centre_model(
    model_dir: Path, name: str = NAME, compensate: float = 1.0, frames_exponent: int = FRAMES_EXPONENT
) -> str:
    """Puts the model with its data entry into `model_dir`; returns its MODEL_NAME.

    Its chunks have 2 to the power of `frames_exponent` frames of a spectrum.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    path = model_dir / f"{name}.onnx"
    # The name is part of the file, so that models with other data have other hashes.
    graph = _graph(name, frames_exponent)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    with catalogue.lock(model_dir):
        data = MODEL_DATA | {"compensate": compensate, "mdx_dim_t_set": frames_exponent}
        catalogue.add_mdx_parameters(model_dir, path, data)
    return name


def _graph(name: str, frames_exponent: int) -> onnx.GraphProto:
    shape = ["batch", 4, BINS, 2**frames_exponent]
    frequencies = np.arange(BINS) * _SAMPLE_RATE / N_FFT
    with np.errstate(divide="ignore"):
        high_pass = 1 / (1 + (160 / frequencies) ** 8)
    constants = {
        "half": np.float32(0.5),
        "one": np.float32(1),
        "zero": np.float32(0),
        "eight": np.float32(8),
        "tiny": np.float32(1e-12),
        "high_pass": high_pass.astype(np.float32).reshape(1, 1, BINS, 1),
        "channel": np.array([1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Split", ["input"], ["left", "right"], axis=1),
        node("Add", ["left", "right"], ["sum"]),
        node("Sub", ["left", "right"], ["difference"]),
        node("Mul", ["sum", "half"], ["middle"]),
        node("Mul", ["difference", "half"], ["side"]),
        node("Mul", ["middle", "middle"], ["middle_squares"]),
        node("Mul", ["side", "side"], ["side_squares"]),
        node("ReduceSum", ["middle_squares", "channel"], ["middle_power"], keepdims=1),
        node("ReduceSum", ["side_squares", "channel"], ["side_power"], keepdims=1),
        node("Add", ["middle_power", "tiny"], ["safe_power"]),
        node("Div", ["side_power", "safe_power"], ["ratio"]),
        node("Mul", ["ratio", "eight"], ["scaled"]),
        node("Sub", ["one", "scaled"], ["linear"]),
        node("Max", ["linear", "zero"], ["mask"]),
        node("Mul", ["mask", "high_pass"], ["weight"]),
        node("Mul", ["middle", "weight"], ["vocals"]),
        node("Concat", ["vocals", "vocals"], ["output"], axis=1),
    ]
    return helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
