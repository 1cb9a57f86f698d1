"""Runs Demucs v4, single networks and bags, on the grid of the library's `apply_model()` with `shifts=0`.

The mix is first brought to mean 0 and standard deviation 1, both measured on the mean of its channels over
the whole song. Segments overlap by a quarter and are weighted by a triangle. The last segments are shorter
and get the samples before them as context.
"""

import functools
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation import gpu, overlap_add
from processor.separation.architectures import diffq_stand_in, hybrid_demucs, library, real_ends
from processor.separation.architectures.loading import loading
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk, Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")
diffq_stand_in.install()

OVERLAP = 0.25
_BLOCK_FRAMES = 1 << 16


class _Network(Protocol):
    """One Demucs network of the library: `samplerate` in Hz, `segment` in seconds, the names of `sources`."""

    samplerate: int
    segment: float | Fraction
    sources: list[str]

    def to(self, device: str) -> object: ...


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network, or the bag of networks.

    Raises ModelUnavailable, and RuntimeError where OpenVINO refuses a core.
    """
    model = library_model(files)
    bag = _networks(files, model)
    weights = getattr(model, "weights", None) or [[1.0] * len(model.sources)]
    shares = torch.tensor(weights, dtype=torch.float32, device=device.torch_device)
    shares = (shares / shares.sum(0))[:, :, None, None]
    edges = [hybrid_demucs.Edges(network) for network in bag]
    sources = _sources(bag, lambda: bag)
    if plan.runtime == "openvino":
        # Only the transforms of these networks are used, so their weights go.
        for network in bag:
            network.to("meta")
        sources = _sources(bag, functools.cache(lambda: _networks(files, library_model(files))))
    cores = open_cores(sources, plan, device)

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode(), real_ends.on(device):
            chunk = gpu.to_device(chunks, device)
            parts = zip(edges, cores, shares, strict=True)
            answer = sum(edge.separate(chunk, core) * share for edge, core, share in parts)
            return gpu.to_host(cast(Tensor, answer))

    runner = gpu.runner(run, device, on_cpu=1)
    threads = gpu.threads(device)

    def estimate(mix: Mix) -> Iterator[Samples]:
        mean, deviation = _statistics(mix)
        divisor = max(deviation, float(np.finfo(np.float32).eps))
        read_raw = mix.open()

        def read(count: int) -> Samples:
            return (read_raw(count) - np.float32(mean)) / np.float32(divisor)

        chunks = _chunks(bag[0], mix.frames)
        for answer in overlap_add.stream(
            read, mix.frames, chunks, runner, batch=runner.most, threads=threads
        ):
            yield answer * np.float32(deviation) + np.float32(mean)

    stems = _stems(model.sources)
    placement = tuple(sorted({place for core in cores for place in core.placement}))
    residual = vocals_residual(stems)
    return LoadedModel(files.name, stems, residual, estimate, placement, plan.runtime, plan.precision)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the core of each network, in their order. Raises ModelUnavailable and CannotConvert."""
    bag = _networks(files, library_model(files))
    for network in bag:
        hybrid_demucs.require_convertible(network, _segment(network))
    return _sources(bag, lambda: bag)


def library_model(files: ModelFiles) -> Any:
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


def _stems(sources: list[str]) -> tuple[str, ...]:
    # The library takes the two sources of a network for these stems.
    return ("vocals", "instrumental") if len(sources) == 2 else tuple(stem_name(s) for s in sources)


def _statistics(mix: Mix) -> tuple[float, float]:
    """Return the mean and the unbiased standard deviation of the mean of the channels.

    The deviation is √((Σx² − n·mean²) / (n − 1)), and 0 for a single sample.
    """
    read = mix.open()
    total = squares = 0.0
    while (block := read(_BLOCK_FRAMES)).size:
        middle = block.mean(axis=0, dtype=np.float64)
        total += middle.sum()
        squares += (middle**2).sum()
    mean = total / mix.frames
    if mix.frames < 2:
        return mean, 0.0
    return mean, float(np.sqrt(max(squares - mix.frames * mean**2, 0.0) / (mix.frames - 1)))


def _segment(net: _Network) -> int:
    """Return the samples in a segment."""
    return int(net.samplerate * net.segment)


def _chunks(net: _Network, frames: int) -> Iterator[Chunk]:
    """Yield the segments of the library's grid, with the triangle as their weight."""
    segment = _segment(net)
    rise = np.arange(1, segment // 2 + 1, dtype=np.float32)
    fall = np.arange(segment - segment // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rise, fall])
    weight /= weight.max()
    for offset in range(0, frames, int((1 - OVERLAP) * segment)):
        length = min(frames - offset, segment)
        taken = net.valid_length(length) if hasattr(net, "valid_length") else length
        skip = (taken - length) // 2
        yield Chunk(offset - skip, taken, weight[:length], skip)
