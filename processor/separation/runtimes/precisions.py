"""Tells which faster precision a device computes in."""

from processor.separation.device import CPU, DeviceChoice
from processor.separation.runtimes.core import Plan, Precision


def fast_precision(plan: Plan, device: DeviceChoice) -> Precision | None:
    """Return the precision that the plan's runtime has beside float32 on `device`; None without one."""
    if device != CPU:
        return "fp16" if plan.runtime == "torch" else None
    if plan.runtime != "openvino" or not plan.core_files:
        return None
    from processor.separation.runtimes import openvino_network

    return openvino_network.fast_precision()
