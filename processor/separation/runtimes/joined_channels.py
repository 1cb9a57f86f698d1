"""Has OpenVINO convolve large joined channels part by part, so that they are never in memory joined.

A decoder of a U-Net joins what comes from below with what its encoder has kept, and convolves both. A
convolution is linear, so it is the sum of the parts' convolutions. Joined, the parts are in memory twice:
0.17 GB more at the peak of a VR network.
"""

import functools
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from processor.separation.runtimes.convolutions import CHANNELS, convolved_like, size_bytes

# Each part is a run over the answer, so small ones stay joined.
_LARGE_BYTES = 100_000_000


def part_convolutions(model: openvino.Model, least_bytes: int = _LARGE_BYTES) -> int:
    """Rewrite such convolutions in `model`, whose shapes are known. Return how many there were."""
    found = [convolution for node in model.get_ordered_ops() if (convolution := _reader(node, least_bytes))]
    for convolution in found:
        _part(convolution)
    model.validate_nodes_and_infer_types()
    return len(found)


def _reader(joined: Any, least_bytes: int) -> Any:
    """Return the convolution that alone reads `joined`, large joined channels; None where there is none."""
    if joined.get_type_name() != "Concat" or not joined.output(0).get_partial_shape().is_static:
        return None
    output = joined.output(0)
    axis = joined.get_attributes()["axis"] % len(output.get_shape())
    if axis != CHANNELS or size_bytes(output) < least_bytes:
        return None
    readers = list(output.get_target_inputs())
    if len(readers) != 1 or readers[0].get_node().get_type_name() != "Convolution":
        return None
    convolution = readers[0].get_node()
    weights = convolution.input_value(1).get_node()
    return convolution if weights.get_type_name() == "Constant" else None


def _part(convolution: Any) -> None:
    weights = convolution.input_value(1).get_node().data
    answers: list[Any] = []
    first = 0
    for part in convolution.input_value(0).get_node().input_values():
        last = first + part.get_shape()[CHANNELS]
        of_part = ops.constant(np.ascontiguousarray(weights[:, first:last]))
        answers.append(convolved_like(convolution, part, of_part))
        first = last
    total = functools.reduce(ops.add, answers)
    for reader in convolution.output(0).get_target_inputs():
        reader.replace_source_output(total.output(0))
