"""Has OpenVINO transpose what a convolution reads in place of what it gives, where that has more channels.

MDX23C convolves its few channels into 128, goes on with the transposed answer, and needs the answer itself
once more at its end: 134 MB that would be in memory all the time. A convolution of single points does not
depend on the order of the points. With one for each use, neither waits for the other, and less is transposed.
"""

from typing import Any

import openvino
from openvino import opset13 as ops

from processor.separation.runtimes.convolutions import CHANNELS, convolved_like, size_bytes

# Two convolutions take longer than one. Where the answer is small, so is what it would save.
_LARGE_BYTES = 100_000_000


def transpose_early(model: openvino.Model, least_bytes: int = _LARGE_BYTES) -> int:
    """Rewrite such transposes in `model`, whose shapes are known. Return how many there were."""
    found = [node for node in model.get_ordered_ops() if _is_late(node, least_bytes)]
    for transpose in found:
        _rewrite(transpose)
    model.validate_nodes_and_infer_types()
    return len(found)


def _is_late(node: Any, least_bytes: int) -> bool:
    if node.get_type_name() != "Transpose" or not node.output(0).get_partial_shape().is_static:
        return False
    order, convolution = (node.input_value(place).get_node() for place in (1, 0))
    if order.get_type_name() != "Constant" or convolution.get_type_name() != "Convolution":
        return False
    output = convolution.output(0)
    is_large = size_bytes(output) >= least_bytes
    has_other_readers = len(output.get_target_inputs()) > 1
    keeps_channels = list(order.data[: CHANNELS + 1]) == list(range(CHANNELS + 1))
    return is_large and has_other_readers and keeps_channels and _widens_points(convolution)


def _widens_points(convolution: Any) -> bool:
    """Tell whether each point of its answer comes from one point of fewer channels."""
    settings, weights = convolution.get_attributes(), convolution.input_value(1).get_node()
    if weights.get_type_name() != "Constant":
        return False
    after, before, *size = weights.get_output_shape(0)
    is_pointwise = {*size, *settings["strides"]} == {1} and not any(
        [*settings["pads_begin"], *settings["pads_end"]]
    )
    return is_pointwise and before < after


def _rewrite(transpose: Any) -> None:
    convolution = transpose.input_value(0).get_node()
    data = ops.transpose(convolution.input_value(0), transpose.input_value(1))
    answer = convolved_like(convolution, data, convolution.input_value(1))
    for reader in transpose.output(0).get_target_inputs():
        reader.replace_source_output(answer.output(0))
