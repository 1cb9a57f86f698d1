"""Runs Demucs v4, single networks and bags, on the grid of the library's `apply_model()` with `shifts=0`.

The mix is first brought to mean 0 and standard deviation 1, both measured on the mean of its channels over
the whole song. Segments overlap by a quarter and are weighted by a triangle. The last segments are shorter
and get the samples before them as context.
"""

import logging
from collections.abc import Iterator

import numpy as np

from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures.demucs_network import DemucsNetwork
from processor.separation.architectures.demucs_parameters import DemucsParameters, UnknownCheckpoint
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk, Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan

log = logging.getLogger(__name__)

OVERLAP = 0.25
_BLOCK_FRAMES = 1 << 16


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network, or the bag of networks.

    Raises ModelUnavailable, and RuntimeError where OpenVINO refuses a core.
    """
    opened = _open(files, device, plan)
    ready = opened.ready

    def estimate(mix: Mix) -> Iterator[Samples]:
        mean, deviation = _statistics(mix)
        divisor = max(deviation, float(np.finfo(np.float32).eps))
        read_raw = mix.open()

        def read(count: int) -> Samples:
            return (read_raw(count) - np.float32(mean)) / np.float32(divisor)

        chunks = _chunks(opened, mix.frames)
        for answer in overlap_add.stream(
            read, mix.frames, chunks, ready.runner, batch=ready.runner.most, threads=ready.threads
        ):
            yield answer * np.float32(deviation) + np.float32(mean)

    stems = _stems(opened.sources)
    residual = vocals_residual(stems)
    return LoadedModel(files.name, stems, residual, estimate, ready.placement, plan.runtime, plan.precision)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the core of each network, in their order. Raises ModelUnavailable and CannotConvert."""
    # Only conversions need it, and it imports torch.
    from processor.separation.architectures import demucs_by_torch

    return demucs_by_torch.core_sources(files)


def _open(files: ModelFiles, device: DeviceChoice, plan: Plan) -> DemucsNetwork:
    if plan.is_by_arrays(device):
        try:
            parameters = DemucsParameters.of(files)
        except UnknownCheckpoint as error:
            log.warning("%s is loaded by torch: %s", files.name, error)
        else:
            from processor.separation.architectures import demucs_by_arrays

            return demucs_by_arrays.open_network(parameters, plan)
    from processor.separation.architectures import demucs_by_torch

    return demucs_by_torch.open_network(files, plan, device)


def _stems(sources: tuple[str, ...]) -> tuple[str, ...]:
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


def _chunks(opened: DemucsNetwork, frames: int) -> Iterator[Chunk]:
    """Yield the segments of the library's grid, with the triangle as their weight."""
    segment = opened.segment
    rise = np.arange(1, segment // 2 + 1, dtype=np.float32)
    fall = np.arange(segment - segment // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rise, fall])
    weight /= weight.max()
    for offset in range(0, frames, int((1 - OVERLAP) * segment)):
        length = min(frames - offset, segment)
        taken = opened.taken(length)
        skip = (taken - length) // 2
        yield Chunk(offset - skip, taken, weight[:length], skip)
