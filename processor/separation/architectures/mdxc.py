"""Runs MDXC's networks, MDX23C (TFC-TDF v3) and Roformers, on the grids of `MDXCSeparator.demix()`.

MDX23C: `overlap` chunks cover each sample, and their unweighted sum is divided by `overlap`. Roformer: chunks
are weighted by a Hamming window, and the last chunk is moved back so that it ends with the mix.
"""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
import torch

from processor.audio.wav import SAMPLE_RATE
from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures import library, real_ends
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel, Residual, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk, Mix, Samples

lazy_imports.postpone("scipy.signal")

# For songs below 10 s the library takes its own segment size, not the model's.
SHORT_FRAMES, SHORT_SEGMENT = 10 * SAMPLE_RATE, 256


class _MdxcModel(Protocol):
    """The library's loaded MDXC model. `model_data_cfgdict` is the model's configuration, by attributes."""

    is_roformer: bool
    batch_size: int
    overlap: int
    torch_device: torch.device
    model_run: torch.nn.Module
    model_data_cfgdict: Any

    def secondary_stem(self, primary_stem: str) -> str: ...

    def _roformer_chunk_starts(self, audio_length: int, chunk_size: int, step: int) -> list[int]: ...


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Load the network. Raises ModelUnavailable."""
    model = library_model(files, device)
    stems, residual = _stems(model)
    grid = _roformer if model.is_roformer else _mdx23c

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode(), real_ends.on(device):
            answers: Samples = model.model_run(torch.from_numpy(chunks).to(model.torch_device)).cpu().numpy()
        # Networks of one stem leave out the axis of stems.
        return answers if answers.ndim == 4 else answers[:, None]

    # The library gives Roformers one chunk at a time, whatever their configuration says.
    runner = Batches(run, 1 if model.is_roformer else model.batch_size, library.release_gpu)

    def estimate(mix: Mix) -> Iterator[Samples]:
        for answer in grid(model, mix, runner):
            yield answer[: len(stems)]

    return LoadedModel(files.name, stems, residual, estimate, library.placement(model.model_run))


def library_model(files: ModelFiles, device: DeviceChoice) -> _MdxcModel:
    """Return the library's own object with its network loaded. Raises ModelUnavailable."""
    with library.loading(files):
        from audio_separator.separator.architectures.mdxc_separator import MDXCSeparator

        arch = {"segment_size": SHORT_SEGMENT, "override_model_segment_size": False, "pitch_shift": 0}
        return cast(_MdxcModel, MDXCSeparator(library.common_config(files, device), arch))


def _stems(model: _MdxcModel) -> tuple[tuple[str, ...], Residual | None]:
    """Return the stems of the network's answer, and the stem that is the rest of the mix."""
    training = model.model_data_cfgdict.training
    target = training.target_instrument
    stems = tuple(stem_name(name) for name in ([target] if target else training.instruments))
    if residual := vocals_residual(stems):
        return stems, residual  # not `other`, as some configurations call the rest
    if len(stems) > 1:
        return stems, None
    others = [stem_name(name) for name in training.instruments if stem_name(name) not in stems]
    rest = others[0] if len(others) == 1 else stem_name(model.secondary_stem(stems[0].capitalize()))
    return stems, Residual(rest, stems[0])


def _segment(model: _MdxcModel, mix: Mix) -> int:
    """Return the number of STFT frames in a chunk."""
    return SHORT_SEGMENT if mix.frames < SHORT_FRAMES else int(model.model_data_cfgdict.inference.dim_t)


def _mdx23c(model: _MdxcModel, mix: Mix, runner: Batches) -> Iterator[Samples]:
    size = int(model.model_data_cfgdict.audio.hop_length) * (_segment(model, mix) - 1)
    step = size // model.overlap
    lead = size - step
    padded = mix.frames + (step - (mix.frames - size) % step) + 2 * lead
    weight = np.ones(size, np.float32)
    # Leave out chunks from lead + frames on: they cover padding only.
    starts = range(0, min(padded - size + 1, lead + mix.frames), step)
    chunks = (Chunk(start - lead, size, weight) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner, model.overlap, runner.size)


def _roformer(model: _MdxcModel, mix: Mix, runner: Batches) -> Iterator[Samples]:
    config = model.model_data_cfgdict
    hop = getattr(config.model, "stft_hop_length", None) or config.audio.hop_length
    size = int(hop) * (_segment(model, mix) - 1)
    weight = np.hamming(size).astype(np.float32)
    length = min(size, mix.frames)
    # The STFT mirrors half a window at both ends, and a shorter mix does not have so many samples.
    least = int(getattr(config.model, "stft_n_fft", 2048))
    taken = length if length > least // 2 else least
    starts = model._roformer_chunk_starts(mix.frames, size, size // model.overlap)
    chunks = (Chunk(start, taken, weight[:length]) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner)
