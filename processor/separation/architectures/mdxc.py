"""MDXC: MDX23C (TFC-TDF v3) and Roformer networks, on the grids of the library's `MDXCSeparator.demix()`.

MDX23C: chunks of which `overlap` cover each sample, unweighted, their sum divided by `overlap`. Roformer:
chunks weighted by a Hamming window, the last one moved back so that it ends with the mix.
"""

from collections.abc import Iterator

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

# The library takes its own segment size, not the model's, for songs below ten seconds.
SHORT_FRAMES, SHORT_SEGMENT = 10 * SAMPLE_RATE, 256


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Raises ModelUnavailable."""
    model = library_model(files, device)
    stems, residual = _stems(model)
    grid = _roformer if model.is_roformer else _mdx23c

    def run(chunks: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), real_ends.on(device):
            answers = model.model_run(torch.from_numpy(chunks).to(model.torch_device)).cpu().numpy()
        # Networks of one stem leave its axis out.
        return answers if answers.ndim == 4 else answers[:, None]

    # The library gives Roformers one chunk at a time, whatever their configuration says.
    runner = Batches(run, 1 if model.is_roformer else model.batch_size, library.release_gpu)

    def estimate(mix: Mix) -> Iterator[Samples]:
        for answer in grid(model, mix, runner):
            yield answer[: len(stems)]

    return LoadedModel(files.name, stems, residual, estimate, library.placement(model.model_run))


def library_model(files: ModelFiles, device: DeviceChoice):
    """The library's own object, loaded. Raises ModelUnavailable."""
    with library.loading(files):
        from audio_separator.separator.architectures.mdxc_separator import MDXCSeparator

        arch = {"segment_size": SHORT_SEGMENT, "override_model_segment_size": False, "pitch_shift": 0}
        return MDXCSeparator(library.common_config(files, device), arch)


def _stems(model) -> tuple[tuple[str, ...], Residual | None]:
    """What the network answers, and what is left of the mix beside that."""
    training = model.model_data_cfgdict.training
    target = training.target_instrument
    stems = tuple(stem_name(name) for name in ([target] if target else training.instruments))
    if residual := vocals_residual(stems):
        return stems, residual  # some configurations call the rest `other`
    if len(stems) > 1:
        return stems, None
    others = [stem_name(name) for name in training.instruments if stem_name(name) not in stems]
    rest = others[0] if len(others) == 1 else stem_name(model.secondary_stem(stems[0].capitalize()))
    return stems, Residual(rest, stems[0])


def _segment(model, mix: Mix) -> int:
    return SHORT_SEGMENT if mix.frames < SHORT_FRAMES else int(model.model_data_cfgdict.inference.dim_t)


def _mdx23c(model, mix: Mix, runner: Batches) -> Iterator[Samples]:
    size = int(model.model_data_cfgdict.audio.hop_length) * (_segment(model, mix) - 1)
    step = size // model.overlap
    lead = size - step
    padded = mix.frames + (step - (mix.frames - size) % step) + 2 * lead
    weight = np.ones(size, np.float32)
    # Chunks from lead + frames on answer for padding only.
    starts = range(0, min(padded - size + 1, lead + mix.frames), step)
    chunks = (Chunk(start - lead, size, weight) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner, model.overlap, runner.size)


def _roformer(model, mix: Mix, runner: Batches) -> Iterator[Samples]:
    config = model.model_data_cfgdict
    hop = getattr(config.model, "stft_hop_length", None) or config.audio.hop_length
    size = int(hop) * (_segment(model, mix) - 1)
    weight = np.hamming(size).astype(np.float32)
    length = min(size, mix.frames)
    # The STFT mirrors half a window at both ends, which a shorter mix does not have.
    least = int(getattr(config.model, "stft_n_fft", 2048))
    taken = length if length > least // 2 else least
    starts = model._roformer_chunk_starts(mix.frames, size, size // model.overlap)
    chunks = (Chunk(start, taken, weight[:length]) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner)
