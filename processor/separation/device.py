"""The choice of CPU or GPU, and the check that the choice came true.

onnxruntime falls back to the CPU without an error, so what a loaded model says of its own place is the
only truth: an ONNX session's providers, the device of a torch network's parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

Device = Literal["cuda", "cpu"]
Requested = Literal["auto", "cuda", "cpu"]


class DeviceUnavailable(Exception):
    """The device that was asked for cannot be used; the message says why."""


@dataclass(frozen=True)
class DeviceChoice:
    """`torch_device` for torch networks and the STFT, `providers` for the ONNX session."""

    torch_device: Device
    providers: tuple[str, ...]


CPU = DeviceChoice("cpu", (CPU_PROVIDER,))
CUDA = DeviceChoice("cuda", (CUDA_PROVIDER, CPU_PROVIDER))


def choose(requested: Requested, cuda_visible: bool, available: Sequence[str] | None) -> DeviceChoice:
    """What to load on. `cuda_visible` is torch's word, `available` onnxruntime's, None for torch networks.

    Raises DeviceUnavailable.
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
    """Where a loaded model really runs, by its providers or its parameters' devices.

    Raises DeviceUnavailable if that is not what was demanded.
    """
    torch_devices = [place.partition(":")[0] for place in placement]
    device = "cuda" if CUDA_PROVIDER in placement or set(torch_devices) == {"cuda"} else "cpu"
    if requested == "cuda" and device != "cuda":
        raise DeviceUnavailable(
            f"DEVICE=cuda, but the GPU could not be used: the loaded model is on {', '.join(placement)}"
        )
    return device
