"""Defines a network's core, the part between spectrum and mask, apart from the runtime that computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from processor.separation.device import CPU, DeviceChoice

if TYPE_CHECKING:  # the processor's own process reads this module and must not load torch
    import torch
    from torch import Tensor

Runtime = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]
Shapes = tuple[tuple[int, ...], ...]

# The version of what the product makes of a network before a runtime gets it. Raise it when that makes a
# network faster: then networks are converted, and runtimes compared, anew. Raise it too when a decision gets
# another meaning: processors of both versions may share a directory.
NETWORKS_VERSION = 3


class CannotConvert(Exception):
    """OpenVINO cannot run a model, which runs as torch then; the message is the reason, a clause."""


class RunCore(Protocol):
    """Computes one core."""

    @property
    def placement(self) -> tuple[str, ...]:
        """The place where the core runs, as ONNX providers or torch devices."""

    def __call__(self, *inputs: "Tensor") -> "tuple[Tensor, ...]":
        """Return the core's float32 answers for float32 `inputs`; both have the batch as their first axis."""


@dataclass(frozen=True)
class CoreSource:
    """A core that can be computed by torch, and converted for OpenVINO.

    `module` loads the weights and returns a module in evaluation mode on the CPU, whose `forward` takes and
    returns float32 tensors only. `example` are inputs of one chunk of the usual length. `traced` are shorter
    ones for a module that computes any length alike: its conversion then takes seconds and little memory.
    """

    module: "Callable[[], torch.nn.Module]"
    example: "tuple[Tensor, ...]"
    traced: "tuple[Tensor, ...]" = ()

    @property
    def shapes(self) -> Shapes:
        """The shapes of the example's tensors."""
        return tuple(tuple(value.shape) for value in self.example)


@dataclass(frozen=True)
class OnnxSource:
    """A core in an ONNX file, which onnxruntime and OpenVINO read as it is.

    `shapes` are those of its inputs for one chunk.
    """

    path: Path
    shapes: Shapes


@dataclass(frozen=True)
class Plan:
    """Says how a model's cores are computed.

    `core_files` are the files that OpenVINO reads, in the order of the model's cores; empty for the others.
    """

    runtime: Runtime
    precision: Precision = "fp32"
    core_files: tuple[Path, ...] = ()

    def is_by_arrays(self, device: DeviceChoice) -> bool:
        """Tell whether converted cores run from arrays to arrays.

        They do without torch, whose import takes a second and half the memory of an engine.
        """
        return device == CPU and self.runtime == "openvino"


BY_TORCH = Plan("torch")
