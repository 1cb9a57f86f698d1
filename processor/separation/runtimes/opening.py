"""Opens the cores of a model as its plan says."""

from collections.abc import Sequence
from functools import partial

from processor.separation.device import DeviceChoice
from processor.separation.runtimes.core import CoreSource, Plan, RunCore
from processor.separation.runtimes.torch_core import TorchCore


def open_cores(sources: Sequence[CoreSource], plan: Plan, device: DeviceChoice) -> tuple[RunCore, ...]:
    """Return what computes each core of `sources`, in their order, by torch or OpenVINO."""
    if plan.runtime != "openvino":
        return tuple(_by_torch(source, device) for source in sources)
    # Import it only where it is needed: the import takes half a second.
    from processor.separation.runtimes.openvino_core import OpenVinoCore

    return tuple(
        OpenVinoCore(path, source.shapes, plan.precision, partial(_by_torch, source, device))
        for source, path in zip(sources, plan.core_files, strict=True)
    )


def _by_torch(source: CoreSource, device: DeviceChoice) -> RunCore:
    return TorchCore(source.module(), device)
