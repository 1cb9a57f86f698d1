"""Chooses the CPU or the GPU, and checks where a loaded model really runs.

onnxruntime falls back to the CPU without an error. So the check asks the loaded model: an ONNX session for
its providers, a torch network for the device of its parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

Device = Literal["cuda", "cpu"]
Requested = Literal["auto", "cuda", "cpu"]


class DeviceUnavailable(Exception):
    """The requested device cannot be used; the message says why."""


@dataclass(frozen=True)
class DeviceChoice:
    """A device: `torch_device` is for torch networks and the STFT, `providers` for an ONNX session."""

    torch_device: Device
    providers: tuple[str, ...]


CPU = DeviceChoice("cpu", (CPU_PROVIDER,))
CUDA = DeviceChoice("cuda", (CUDA_PROVIDER, CPU_PROVIDER))


def choose(requested: Requested, cuda_visible: bool, available: Sequence[str] | None) -> DeviceChoice:
    """Return the device to load a model on. Raises DeviceUnavailable.

    `cuda_visible` tells whether torch sees a GPU. `available` are onnxruntime's providers, or None for a
    torch network.
    """
    if requested == "cpu":
        return CPU
    if cuda_visible and (available is None or CUDA_PROVIDER in available):
        return CUDA
    if requested == "auto":
        return CPU
    reason = f"onnxruntime has no {CUDA_PROVIDER}" if cuda_visible else "torch sees no CUDA device"
    raise DeviceUnavailable(f"DEVICE=cuda, but {reason}")


def confirm(requested: Requested, placement: Sequence[str]) -> Device:
    """Return where a loaded model runs; `placement` is its ONNX providers or its parameters' devices.

    Raises DeviceUnavailable where a GPU was requested and is not used.
    """
    torch_devices = [place.partition(":")[0] for place in placement]
    device: Device = "cuda" if CUDA_PROVIDER in placement or set(torch_devices) == {"cuda"} else "cpu"
    if requested == "cuda" and device != "cuda":
        raise DeviceUnavailable(
            f"DEVICE=cuda, but the GPU could not be used: the loaded model is on {', '.join(placement)}"
        )
    return device
