"""Converts a model's networks for OpenVINO, and compares its speed with that of the model's own runtime."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from common.errors import ErrorCode, TransientError, is_disk_full
from processor.models.model_files import ModelFiles
from processor.preparation import decision
from processor.preparation.decision import Decision
from processor.separation.batches import is_out_of_memory
from processor.separation.device import CPU
from processor.separation.loaded_model import architecture
from processor.separation.runtimes import openvino_core, openvino_network
from processor.separation.runtimes.core import (
    NETWORKS_VERSION,
    CannotConvert,
    CoreSource,
    OnnxSource,
    Plan,
    RunCore,
)
from processor.separation.runtimes.opening import Source, open_cores

log = logging.getLogger(__name__)

# Where the runtimes are equally fast, OpenVINO takes less memory.
_MOST_SLOWER = 1.05
_LONG_RUN_S = 2.0
_RUNS = 5
_FLOAT_BYTES = 4
_CORE, _PARTIAL = "core-", "partial-"
# More than the description of a network takes beside its weights.
_DESCRIPTION_BYTES = 16 << 20


@dataclass(frozen=True)
class Converted:
    """The outcome of a conversion.

    `core_files` are the networks for OpenVINO; empty where it refuses them. `exact` is the plan by which
    OpenVINO computes them in float32; None where the model's own runtime is faster. `reason`: for people.
    """

    core_files: tuple[Path, ...]
    exact: Plan | None
    reason: str


def convert(files: ModelFiles, report: Callable[[str], None]) -> Converted:
    """Convert the model's networks where they are not converted yet, and compare the speed.

    Raises ModelUnavailable where the model cannot be loaded, TransientError (disk_full), and what is raised
    where memory runs out.
    """
    try:
        sources: tuple[Source, ...] = architecture(files).core_sources(files)
    except CannotConvert as error:
        return Converted((), None, f"OpenVINO cannot compute the networks: {error}")
    report(f"converting {files.name} for OpenVINO")
    try:
        paths = tuple(_core_file(files, source, number) for number, source in enumerate(sources))
        ours = Plan("openvino", "fp32", paths)
        cores = open_cores(sources, ours, CPU)
    except TransientError:
        raise
    except Exception as error:  # a converter may raise anything, and the model runs without it
        if is_out_of_memory(error):
            raise
        log.warning("%s is not converted for OpenVINO", files.name, exc_info=error)
        return Converted((), None, f"OpenVINO refuses the networks ({type(error).__name__})")
    report(f"comparing the speed of the runtimes for {files.name}")
    ratio = _times_as_long(sources, cores, open_cores(sources, Plan("torch"), CPU))
    reason = f"OpenVINO takes {ratio:.2f} times as long as the runtime of the model's files"
    return Converted(paths, ours if ratio <= _MOST_SLOWER else None, reason)


def discard(files: ModelFiles, made: Decision) -> None:
    """Remove the converted networks that the decision names, so that they are converted anew."""
    for core in made.core_files:
        path = decision.core_path(files, core.name)
        if path != files.path:
            path.unlink(missing_ok=True)
            path.with_suffix(".bin").unlink(missing_ok=True)


def forget(files: ModelFiles) -> None:
    """Remove the converted networks of this version, damaged or not, so that they are converted anew.

    No other process may convert the model meanwhile. Processors that have loaded the networks keep theirs.
    """
    for path in decision.directory(files).glob(f"{_CORE}*.{_version(files)}.*"):
        path.unlink(missing_ok=True)


def remove_partial(files: ModelFiles) -> None:
    """Remove what a conversion that was killed has left. No other process may convert the model meanwhile."""
    for path in decision.directory(files).glob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


def _core_file(files: ModelFiles, source: Source, number: int) -> Path:
    """Return a file that OpenVINO reads, after converting the network into it if needed."""
    if isinstance(source, OnnxSource):
        return source.path
    directory = decision.directory(files)
    path = directory / f"{_CORE}{number}.{_version(files)}.xml"
    if not (path.exists() and path.with_suffix(".bin").exists()):
        path.unlink(missing_ok=True)
        _write_core(source, directory / f"{_PARTIAL}{number}.xml", path)
        # Where several versions share the directory, the networks are those of the one that converts last:
        # nothing tells whether processors of the others are still there, and large networks take gigabytes.
        for other in directory.glob(f"{_CORE}{number}.openvino-*"):
            if other.stem != path.stem:
                other.unlink()
    return path


def _version(files: ModelFiles) -> str:
    # The name of the directory tells the file that names the model, but not its other files.
    return f"openvino-{openvino_network.VERSION}.{NETWORKS_VERSION}.{files.rest_sha256[:12]}"


def _write_core(source: CoreSource, partial: Path, path: Path) -> None:
    """Convert the network into `path`. Raises TransientError (disk_full), and what OpenVINO raises."""
    weights = partial.with_suffix(".bin")
    try:
        openvino_core.convert(source, partial)
        _put_on_disk(weights)
        _put_on_disk(partial)
        # The weights get their name first, also after a power loss: the network is complete only with them.
        weights.rename(path.with_suffix(".bin"))
        _put_on_disk(path.parent)
        partial.rename(path)
    except Exception as error:
        if is_disk_full(error) or (not is_out_of_memory(error) and not _has_room(source, weights)):
            message = f"Disk full: {path.parent} has no room for a converted network: free some"
            raise TransientError(ErrorCode.DISK_FULL, message) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)


def _put_on_disk(path: Path) -> None:
    """Return once the file, or the names in a directory, would outlast a power loss. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_room(source: CoreSource, path: Path) -> bool:
    """Tell whether the network's weights fit into `path`, which is overwritten.

    OpenVINO does not tell why a write failed, and removes what it has written.
    """
    module = source.module()
    weights = sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _FLOAT_BYTES * weights + _DESCRIPTION_BYTES)
    except OSError as error:
        return not is_disk_full(error)
    return True


def _times_as_long(sources: Sequence[Source], ours: Sequence[RunCore], own: Sequence[RunCore]) -> float:
    """Return how many times as long a run of all networks takes with `ours`.

    The runs alternate, and the shortest count, since other work on the machine disturbs.
    """
    inputs = [_noise(source) for source in sources]
    times_s = [(_run_s(ours, inputs), _run_s(own, inputs))]
    while len(times_s) < _RUNS and max(times_s[0]) < _LONG_RUN_S:
        times_s.append((_run_s(ours, inputs), _run_s(own, inputs)))
    return min(first for first, _ in times_s) / min(second for _, second in times_s)


def _run_s(cores: Sequence[RunCore], inputs: Sequence[tuple[Tensor, ...]]) -> float:
    began_s = time.monotonic()
    for core, values in zip(cores, inputs, strict=True):
        core(*values)
    return time.monotonic() - began_s


def _noise(source: Source) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in source.shapes)
