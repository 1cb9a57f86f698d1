"""Repeats a convolution of a network for OpenVINO with other data, and measures what it answers."""

from typing import Any

import numpy as np
from openvino import opset13 as ops

# The axis of the channels in what a convolution reads and answers.
CHANNELS = 1


def convolved_like(convolution: Any, data: Any, weights: Any) -> Any:
    """Return the convolution of `data` by `weights` with the strides, pads and dilations of `convolution`."""
    settings = convolution.get_attributes()
    return ops.convolution(
        data,
        weights,
        settings["strides"],
        settings["pads_begin"],
        settings["pads_end"],
        settings["dilations"],
        settings["auto_pad"],
    )


def size_bytes(output: Any) -> int:
    """Return the size of an output whose shape is known."""
    return int(np.prod(output.get_shape())) * int(output.get_element_type().size)
