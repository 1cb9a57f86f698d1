"""Opens the cores of a model as its plan says."""

from collections.abc import Sequence

from processor.separation.device import DeviceChoice
from processor.separation.runtimes.core import CoreSource, OnnxSource, Plan, Precision, RunCore

Source = CoreSource | OnnxSource


def open_cores(sources: Sequence[Source], plan: Plan, device: DeviceChoice) -> tuple[RunCore, ...]:
    """Return what computes each core of `sources`, in their order.

    Raises RuntimeError where OpenVINO refuses a file, and what the loaders of the sources raise.
    """
    if plan.runtime != "openvino":
        return tuple(_open_own(source, device, plan.precision) for source in sources)
    # Import it only where it is needed: the import takes half a second.
    from processor.separation.runtimes.openvino_core import OpenVinoCore

    return tuple(
        OpenVinoCore(path, source.shapes, plan.precision)
        for source, path in zip(sources, plan.core_files, strict=True)
    )


def _open_own(source: Source, device: DeviceChoice, precision: Precision = "fp32") -> RunCore:
    """Open the core with the runtime that its file is made for; onnxruntime computes in float32 always."""
    # Each import takes long, so import only what the model needs.
    if isinstance(source, OnnxSource):
        from processor.separation.runtimes.onnx_core import OnnxCore

        return OnnxCore(source.path, device)
    from processor.separation.runtimes.torch_core import TorchCore

    return TorchCore(source.module(), device, precision, source.shapes)
