"""Demucs v4, alone or in bags, on the grid of the library's `apply_model()` with `shifts=0`.

The mix is brought to mean 0 and standard deviation 1 first, by those of the mean of its channels over the
whole song. Segments overlap by a quarter and are weighted by a triangle; the last ones, which are shorter,
get what is before them as context.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation import overlap_add
from processor.separation.architectures import diffq_stand_in, library, real_ends
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk, Mix, Samples

lazy_imports.postpone("scipy.signal")
diffq_stand_in.install()

OVERLAP = 0.25
_BLOCK_FRAMES = 1 << 16


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Raises ModelUnavailable."""
    model = library_model(files, device)
    bag = getattr(model, "models", None) or [model]
    weights = getattr(model, "weights", None) or [[1.0] * len(model.sources)]
    if len({(net.samplerate, net.segment) for net in bag}) > 1:
        raise ModelUnavailable(f"model {files.name} has networks of different segments")
    torch_device = torch.device(device.torch_device)
    shares = torch.tensor(weights, dtype=torch.float32, device=torch_device)
    shares = (shares / shares.sum(0))[:, :, None, None]

    def run(chunks: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), real_ends.on(device):
            chunk = torch.from_numpy(chunks).to(torch_device)
            return sum(net(chunk) * share for net, share in zip(bag, shares, strict=True)).cpu().numpy()

    runner = Batches(run, 1, library.release_gpu)

    def estimate(mix: Mix) -> Iterator[Samples]:
        mean, deviation = _statistics(mix)
        divisor = max(deviation, float(np.finfo(np.float32).eps))
        read_raw = mix.open()

        def read(count: int) -> np.ndarray:
            return (read_raw(count) - np.float32(mean)) / np.float32(divisor)

        for answer in overlap_add.stream(read, mix.frames, _chunks(bag[0], mix.frames), runner):
            yield answer * np.float32(deviation) + np.float32(mean)

    stems = _stems(model.sources)
    return LoadedModel(files.name, stems, vocals_residual(stems), estimate, library.placement(*bag))


def library_model(files: ModelFiles, device: DeviceChoice):
    """The network, or the bag of them. Raises ModelUnavailable."""
    with library.loading(files), tempfile.TemporaryDirectory() as directory:
        from audio_separator.separator.architectures.demucs_separator import DemucsSeparator
        from audio_separator.separator.uvr_lib_v5.demucs.pretrained import get_model

        # Checkpoints name their classes as in `demucs`, which this puts on the path.
        DemucsSeparator(library.common_config(files, device), {})
        # The library reads every file of the directory, and stumbles over those of others.
        for path in (files.path, *files.parts):
            (Path(directory) / path.name).symlink_to(path.resolve())
        model = get_model(files.path.stem, Path(directory))
        return model.to(torch.device(device.torch_device)).eval()


def _stems(sources: list[str]) -> tuple[str, ...]:
    # The library's own reading of networks with two sources.
    return ("vocals", "instrumental") if len(sources) == 2 else tuple(stem_name(s) for s in sources)


def _statistics(mix: Mix) -> tuple[float, float]:
    """Mean and standard deviation (unbiased) of the mean of the channels; 0 for that of one sample."""
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


def _chunks(net, frames: int) -> Iterator[Chunk]:
    segment = int(net.samplerate * net.segment)
    rise = np.arange(1, segment // 2 + 1, dtype=np.float32)
    fall = np.arange(segment - segment // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rise, fall])
    weight /= weight.max()
    for offset in range(0, frames, int((1 - OVERLAP) * segment)):
        length = min(frames - offset, segment)
        taken = net.valid_length(length) if hasattr(net, "valid_length") else length
        skip = (taken - length) // 2
        yield Chunk(offset - skip, taken, weight[:length], skip)
