"""Has OpenVINO multiply bins with channels last, as the convolutions around such a product have their data.

MDX-Net multiplies the bins of each channel by one matrix, and a batch norm scales each channel. OpenVINO
multiplies the scales into the matrix, so each channel gets a matrix of its own: 1.1 GB for
`UVR-MDX-NET-Inst_HQ_4` in place of 8 MB, which also take time to make and to read. It would also reorder the
data before and after each product. With channels last the scales stay beside the matrix, and the data stay.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as ops

Values = npt.NDArray[np.float32]

_CHANNELS_LAST = np.array([0, 2, 3, 1])
_CHANNELS_SECOND = np.array([0, 3, 1, 2])


@dataclass(frozen=True)
class _Product:
    """A product over the last axis of [batch, channel, frame, bin] with its batch norm and ReLU."""

    data: Any
    # [bin after, bin before]
    matrix: Values
    # Of each channel.
    scale: Values
    shift: Values
    # Its one output is the product's.
    last: Any

    @classmethod
    def ending_at(cls, last: Any) -> Self | None:
        """Return the product whose ReLU is `last`, and None where there is none."""
        norm = _only_source(last, "Relu")
        product = _only_source(norm, "BatchNormInference")
        if product is None or product.get_type_name() != "MatMul":
            return None
        numbers = [_constant(norm, place) for place in range(1, 5)]
        matrix = _constant(product, 1)
        if matrix is None or matrix.ndim != 2 or product.get_attributes()["transpose_a"]:
            return None
        if any(number is None for number in numbers) or not _has_four_known_axes(product.input_value(0)):
            return None
        gamma, beta, mean, variance = (np.asarray(number, np.float64) for number in numbers)
        scale = gamma / np.sqrt(variance + norm.get_attributes()["epsilon"])
        if not product.get_attributes()["transpose_b"]:
            matrix = matrix.T
        shift = beta - mean * scale
        return cls(product.input_value(0), matrix, scale.astype(np.float32), shift.astype(np.float32), last)


def put_channels_last(model: openvino.Model) -> int:
    """Rewrite such products in `model`, whose shapes are known. Return how many there were."""
    # What each product's ReLU gave, by the ReLU's name, with channels last.
    outputs: dict[str, Any] = {}
    found = [product for node in model.get_ordered_ops() if (product := _Product.ending_at(node))]
    for product in found:
        _rewrite(product, outputs)
    model.validate_nodes_and_infer_types()
    return len(found)


def _rewrite(product: _Product, outputs: dict[str, Any]) -> None:
    batch, channels, frames, _ = product.data.get_shape()
    data = outputs.get(product.data.get_node().get_friendly_name())
    if data is None:
        # The frames are the batch, and the axis of length 1 leaves OpenVINO no choice of another layout, in
        # which it would reorder the data between one product and the next.
        data = ops.transpose(product.data, _CHANNELS_LAST)
        data = ops.reshape(data, np.array([batch * frames, 1, -1, channels]), special_zero=False)
    data = ops.matmul(ops.constant(np.ascontiguousarray(product.matrix)), data, False, False)
    data = ops.add(ops.multiply(data, ops.constant(product.scale)), ops.constant(product.shift))
    data = ops.relu(data)
    second = ops.reshape(data, np.array([batch, frames, -1, channels]), special_zero=False)
    second = ops.transpose(second, _CHANNELS_SECOND)
    outputs[product.last.get_friendly_name()] = data
    for reader in product.last.output(0).get_target_inputs():
        reader.replace_source_output(second.output(0))


def _only_source(node: Any, name: str) -> Any:
    """Return the node whose output `node` alone reads, if `node` is of the type `name`."""
    if node is None or node.get_type_name() != name:
        return None
    source = node.input_value(0)
    return source.get_node() if len(source.get_target_inputs()) == 1 else None


def _has_four_known_axes(output: Any) -> bool:
    shape = output.get_partial_shape()
    return bool(shape.is_static) and len(output.get_shape()) == 4


def _constant(node: Any, place: int) -> Values | None:
    source = node.input_value(place).get_node()
    if source.get_type_name() != "Constant" or source.get_element_type() != openvino.Type.f32:
        return None
    values: Values = source.data
    return values
