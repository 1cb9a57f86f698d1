"""Writes an MDX-Net with random weights as an ONNX file: TFC-TDF v2, the network of UVR's MDX models.

The layers are those of audio-separator's `ConvTDFNet` with batch norms, as UVR exports it: the norm behind a
convolution is part of the convolution, the norm behind a linear layer is not. Each layer is scaled while the
graph is built so that its output has standard deviation 1 for one noise input. The network multiplies five
pairs of its layers, so without that its answer would grow as the sixth power of the input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from processor.models import catalogue
from tests.support.processor.random_checkpoints import add_data, add_to_list

_CHANNELS = 4
_KERNEL = 3
# The frames of the noise input: the fewest that the network's scales can halve.
_NOISE_FRAMES = 32
# About the standard deviation of a spectrum that the network gets.
_NOISE_LEVEL = 10.0


@dataclass(frozen=True)
class MdxSize:
    """The size of a network, which has `growth` channels more at each of `scales`.

    A linear block has `bottleneck` times fewer bins within. `layers` is the number of convolutions in a
    block. `frames_exponent` is log2 of the number of frames.
    """

    n_fft: int
    bins: int
    frames_exponent: int
    growth: int
    scales: int
    layers: int
    bottleneck: int


@dataclass
class _Graph:
    """Computes each layer on the noise as it adds the layer to the graph."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)

    def add(self, operator: str, inputs: Sequence[str], value: Tensor, **attributes: object) -> str:
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        self.values[name] = value
        return name

    def constant(self, value: Tensor) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value.numpy()), name))
        return name

    def convolution(self, x: str, outputs: int, kernel: int, stride: int = 1) -> str:
        weight = torch.randn(outputs, self.values[x].shape[1], kernel, kernel)
        padding = kernel // 2 if stride == 1 else 0
        value = functional.conv2d(self.values[x], weight, stride=stride, padding=padding)
        scale = 1 / value.std()
        names = [x, self.constant(weight * scale), self.constant(torch.zeros(outputs))]
        return self.add(
            "Conv",
            names,
            value * scale,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[padding] * 4,
        )

    def transposed_convolution(self, x: str, outputs: int) -> str:
        weight = torch.randn(self.values[x].shape[1], outputs, 2, 2)
        value = functional.conv_transpose2d(self.values[x], weight, stride=2)
        scale = 1 / value.std()
        names = [x, self.constant(weight * scale), self.constant(torch.zeros(outputs))]
        return self.add("ConvTranspose", names, value * scale, kernel_shape=[2, 2], strides=[2, 2])

    def linear(self, x: str, outputs: int) -> str:
        """Add a linear layer over the last axis, a batch norm, and a ReLU."""
        channels, inputs = self.values[x].shape[1], self.values[x].shape[-1]
        weight = torch.randn(inputs, outputs)
        value = self.values[x] @ weight
        x = self.add("MatMul", [x, self.constant(weight)], value)
        gamma, zeros, ones = (
            torch.full((channels,), float(1 / value.std())),
            torch.zeros(channels),
            torch.ones(channels),
        )
        names = [x, *(self.constant(part) for part in (gamma, zeros, zeros, ones))]
        return self.relu(self.add("BatchNormalization", names, value / value.std(), epsilon=1e-5))

    def relu(self, x: str) -> str:
        return self.add("Relu", [x], self.values[x].relu())

    def swapped(self, x: str) -> str:
        """Swap bins and frames."""
        return self.add("Transpose", [x], self.values[x].transpose(-1, -2).contiguous(), perm=[0, 1, 3, 2])

    def block(self, x: str, size: MdxSize) -> str:
        channels, bins = self.values[x].shape[1], self.values[x].shape[-1]
        for _ in range(size.layers):
            x = self.relu(self.convolution(x, channels, _KERNEL))
        inner = self.linear(self.linear(x, bins // size.bottleneck), bins)
        return self.add("Add", [x, inner], self.values[x] + self.values[inner])


def write_mdx(directory: Path, name: str, size: MdxSize, primary_stem: str = "Instrumental") -> str:
    """Write the network into `directory`, and all that its parameters and the library's lists need."""
    torch.manual_seed(4)
    with torch.inference_mode():
        graph = _network(size)
    shape = ["batch", _CHANNELS, size.bins, 2**size.frames_exponent]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end in ("input", "output")]
    proto = helper.make_graph(graph.nodes, name, ends[:1], ends[1:], graph.weights)
    path = directory / f"{name}.onnx"
    onnx.save(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    parameters = {
        "compensate": 1.0,
        "mdx_dim_f_set": size.bins,
        "mdx_dim_t_set": size.frames_exponent,
        "mdx_n_fft_scale_set": size.n_fft,
        "primary_stem": primary_stem,
    }
    add_data(directory, path, catalogue.MDX_DATA, parameters)
    add_to_list(directory, "mdx_download_list", f"MDX-Net Model: {name}", path.name)
    return name


def _network(size: MdxSize) -> _Graph:
    noise = torch.randn(1, _CHANNELS, size.bins, _NOISE_FRAMES) * _NOISE_LEVEL
    graph = _Graph(values={"input": noise})
    channels, skipped = size.growth, []
    x = graph.swapped(graph.relu(graph.convolution("input", channels, 1)))
    for _ in range(size.scales):
        x = graph.block(x, size)
        skipped.append(x)
        channels += size.growth
        x = graph.relu(graph.convolution(x, channels, 2, stride=2))
    x = graph.block(x, size)
    for skip in reversed(skipped):
        channels -= size.growth
        x = graph.relu(graph.transposed_convolution(x, channels))
        x = graph.block(graph.add("Mul", [x, skip], graph.values[x] * graph.values[skip]), size)
    x = graph.convolution(graph.swapped(x), _CHANNELS, 1)
    graph.nodes[-1].output[0] = "output"
    return graph
