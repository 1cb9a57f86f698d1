"""Runs Demucs v4 with torch's spectra, and by torch unless the cores are converted."""

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation import gpu
from processor.separation.architectures import (
    demucs_parameters,
    diffq_stand_in,
    hybrid_demucs,
    library,
    real_ends,
)
from processor.separation.architectures.demucs_network import DemucsNetwork
from processor.separation.architectures.loading import loading
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.device import CPU, DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.core import CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")
diffq_stand_in.install()


class _Network(Protocol):
    """One Demucs network of the library: `samplerate` in Hz, `segment` in seconds, the names of `sources`."""

    samplerate: int
    segment: float | Fraction
    sources: list[str]

    def to(self, device: str) -> object: ...


def open_network(files: ModelFiles, plan: Plan, device: DeviceChoice) -> DemucsNetwork:
    """Open the networks by the plan's runtime. Raises ModelUnavailable and an error of the runtime."""
    model = _library_model(files)
    bag = _networks(files, model)
    weights = demucs_parameters.shares(getattr(model, "weights", None), len(bag), len(model.sources))
    shares = torch.from_numpy(weights).to(device.torch_device)[:, :, None, None]
    edges = [hybrid_demucs.Edges(network) for network in bag]
    sources = _sources(bag, lambda: bag)
    if plan.runtime == "openvino":
        # Only the transforms of these networks are used, so their weights go.
        for network in bag:
            network.to("meta")
    cores = open_cores(sources, plan, device)

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode(), real_ends.on(device):
            chunk = gpu.to_device(chunks, device)
            parts = zip(edges, cores, shares, strict=True)
            answer = sum(edge.separate(chunk, core) * share for edge, core, share in parts)
            return gpu.to_host(cast(Tensor, answer))

    placement = tuple(sorted({place for core in cores for place in core.placement}))
    ready = ReadyNetwork(gpu.runner(run, device, on_cpu=1), placement, gpu.threads(device))

    def taken(length: int) -> int:
        return int(bag[0].valid_length(length)) if hasattr(bag[0], "valid_length") else length

    return DemucsNetwork(ready, tuple(model.sources), _segment(bag[0]), taken)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the core of each network, in their order. Raises ModelUnavailable and CannotConvert."""
    bag = _networks(files, _library_model(files))
    for network in bag:
        hybrid_demucs.require_convertible(network, _segment(network))
    return _sources(bag, lambda: bag)


def _library_model(files: ModelFiles) -> Any:
    """Return the library's network, or its bag of networks. Raises ModelUnavailable."""
    with loading(files), tempfile.TemporaryDirectory() as directory:
        from audio_separator.separator.architectures.demucs_separator import DemucsSeparator
        from audio_separator.separator.uvr_lib_v5.demucs.pretrained import get_model

        # The constructor puts the package `demucs`, whose classes checkpoints name, on the path.
        DemucsSeparator(library.common_config(files, CPU), {})
        # The library reads every file of a directory and fails at files of other models.
        for path in (files.path, *files.parts):
            (Path(directory) / path.name).symlink_to(path.resolve())
        return get_model(files.path.stem, Path(directory))


def _networks(files: ModelFiles, model: Any) -> list[_Network]:
    """Return the networks of a bag, or the one that is none. Raises ModelUnavailable."""
    bag = list(getattr(model, "models", None) or [model])
    if len({(net.samplerate, net.segment) for net in bag}) > 1:
        raise ModelUnavailable(f"model {files.name} has networks of different segments")
    return bag


def _sources(bag: list[_Network], loaded: Callable[[], list[_Network]]) -> tuple[CoreSource, ...]:
    """Return the core of each network of `bag`; `loaded` returns the same networks with their weights."""

    def source(number: int) -> CoreSource:
        return CoreSource(
            lambda: hybrid_demucs.Core(loaded()[number]).eval(),
            hybrid_demucs.example(bag[number], _segment(bag[number])),
        )

    return tuple(source(number) for number in range(len(bag)))


def _segment(net: _Network) -> int:
    """Return the samples in a segment."""
    return int(net.samplerate * net.segment)
