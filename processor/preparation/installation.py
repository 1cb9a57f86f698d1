"""Chooses the device that a model is prepared for and loaded on, and finds what was decided for it."""

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path

from processor.models.model_files import ModelFiles
from processor.preparation import decision, machine
from processor.preparation.decision import Decision, RequestedPrecision
from processor.separation import device
from processor.separation.device import DeviceChoice, Requested
from processor.separation.runtimes.core import Plan

log = logging.getLogger(__name__)


def choose_device(files: ModelFiles, requested: Requested) -> DeviceChoice:
    """Return the device for the model. Raises DeviceUnavailable."""
    cuda_visible = requested != "cpu" and _torch_sees_cuda()
    if not cuda_visible or files.architecture != "MDX":
        return device.choose(requested, cuda_visible, None)
    # Import torch before onnxruntime: preload_dlls() then finds the CUDA libraries of torch.
    import onnxruntime

    choice = device.choose(requested, cuda_visible, list(onnxruntime.get_available_providers()))
    if choice == device.CUDA:
        onnxruntime.preload_dlls()
    return choice


def prepare(
    files: ModelFiles,
    requested: Requested,
    precision: RequestedPrecision,
    report: Callable[[str], None],
    begin: Callable[[Path], None] = lambda path: None,
    check_stop: Callable[[], None] = lambda: None,
    anew: bool = False,
) -> Decision:
    """Decide how the model is computed on its device, unless that was decided before; see prepare.prepare.

    `anew` makes everything once more, the converted networks too.

    Raises DeviceUnavailable, ModelUnavailable, OSError, and what the networks raise.
    """
    choice = choose_device(files, requested)
    where = _machine(choice)
    kept = None if anew else decision.read(files, where, precision)
    if kept and kept.is_finished and decision.plan(files, kept):
        return kept
    # Import it only for work: the import takes seconds.
    from processor.preparation.prepare import Target
    from processor.preparation.prepare import prepare as make

    return make(files, Target(choice, where, precision), report, begin, check_stop, anew)


def kept_plan(files: ModelFiles, choice: DeviceChoice, precision: RequestedPrecision) -> Plan | None:
    """Return how the model is computed on its device; None where that is not decided, or a file is damaged.

    The next `prepare` mends a damaged file.
    """
    try:
        kept = decision.read(files, _machine(choice), precision)
        return decision.plan(files, kept) if kept else None
    except OSError as error:
        log.warning("what was prepared for %s cannot be read: %s", files.name, error)
        return None


def _torch_sees_cuda() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        # Without NVIDIA's driver torch sees no GPU. To import torch only to hear that would take seconds.
        return False
    import torch

    return torch.cuda.is_available()


def _machine(choice: DeviceChoice) -> machine.Machine:
    if choice == device.CPU:
        return machine.cpu()
    import torch

    properties = torch.cuda.get_device_properties(0)
    return machine.gpu(properties.name, properties.total_memory)
