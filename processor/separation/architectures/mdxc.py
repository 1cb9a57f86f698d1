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
from processor.separation import gpu, overlap_add
from processor.separation.architectures import library, mdx23c, roformer
from processor.separation.architectures.loading import loading
from processor.separation.batches import Runner
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel, Residual, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk, Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")

# For songs below 10 s the library takes its own segment size, not the model's.
SHORT_FRAMES, SHORT_SEGMENT = 10 * SAMPLE_RATE, 256


class _MdxcModel(Protocol):
    """The library's MDXC model without its network.

    `model_data` is its configuration, and `model_data_cfgdict` has the same by attributes.
    """

    is_roformer: bool
    batch_size: int
    overlap: int
    model_path: str
    model_data: dict[str, Any]
    model_data_cfgdict: Any

    def secondary_stem(self, primary_stem: str) -> str: ...

    def network(self) -> torch.nn.Module: ...

    def _roformer_chunk_starts(self, audio_length: int, chunk_size: int, step: int) -> list[int]: ...


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network. Raises ModelUnavailable, and RuntimeError where OpenVINO refuses its core."""
    model = library_model(files)
    stems, residual = _stems(model)
    grid = _roformer if model.is_roformer else _mdx23c
    edges = _edges(files, model, device.torch_device)
    (core,) = open_cores([_source(files, model)], plan, device)

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode():
            samples = gpu.to_device(chunks, device)
            return gpu.to_host(edges.separate(samples, core))

    # On a CPU the library's numbers: Roformers get one chunk at a time, whatever their configuration says.
    # OpenVINO's networks are made for one chunk.
    one = model.is_roformer or plan.runtime == "openvino"
    runner = gpu.runner(run, device, on_cpu=1 if one else model.batch_size)
    threads = gpu.threads(device)

    def estimate(mix: Mix) -> Iterator[Samples]:
        for answer in grid(model, mix, runner, threads):
            yield answer[: len(stems)]

    return LoadedModel(files.name, stems, residual, estimate, core.placement, plan.runtime, plan.precision)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the network's core, for chunks of songs of 10 s and more. Raises ModelUnavailable."""
    return (_source(files, library_model(files)),)


def library_model(files: ModelFiles) -> _MdxcModel:
    """Return the library's own object; its network is loaded later. Raises ModelUnavailable."""
    with loading(files):
        arch = {"segment_size": SHORT_SEGMENT, "override_model_segment_size": False, "pitch_shift": 0}
        return cast(_MdxcModel, _model_class()(library.common_config(files, CPU), arch))


def _model_class() -> Any:
    """Return the library's class with its network left out until it is asked for."""
    from audio_separator.separator.architectures import mdxc_separator

    class Model(mdxc_separator.MDXCSeparator):  # type: ignore[misc]  # the library has no types
        def load_model(self) -> None:
            self.model_data_cfgdict = mdxc_separator.ConfigDict(self.model_data)

        def network(self) -> torch.nn.Module:
            """Return the network with its weights, which this object does not keep."""
            super().load_model()
            network: torch.nn.Module = self.model_run
            del self.model_run
            return network

    return Model


def _edges(files: ModelFiles, model: _MdxcModel, torch_device: str) -> roformer.Edges | mdx23c.Edges:
    config = model.model_data_cfgdict
    with loading(files):
        if model.is_roformer:
            return roformer.Edges(roformer.settings_of(model.model_data, model.model_path), torch_device)
        training = config.training
        stems = 1 if training.target_instrument else len(training.instruments)
        return mdx23c.Edges(config, stems, torch_device)


def _source(files: ModelFiles, model: _MdxcModel) -> CoreSource:
    def module() -> torch.nn.Module:
        with loading(files):
            network = model.network()
            if model.is_roformer:
                return roformer.Core(network, roformer.settings_of(model.model_data, model.model_path))
            return mdx23c.Core(network)

    samples = _size(model, int(model.model_data_cfgdict.inference.dim_t))
    edges = _edges(files, model, "cpu")
    return CoreSource(module, edges.example(samples), edges.traced())


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


def _size(model: _MdxcModel, segment: int) -> int:
    """Return the samples in a chunk of `segment` STFT frames."""
    config = model.model_data_cfgdict
    hop = getattr(config.model, "stft_hop_length", None) if model.is_roformer else None
    return int(hop or config.audio.hop_length) * (segment - 1)


def _segment(model: _MdxcModel, mix: Mix) -> int:
    """Return the number of STFT frames in a chunk."""
    return SHORT_SEGMENT if mix.frames < SHORT_FRAMES else int(model.model_data_cfgdict.inference.dim_t)


def _mdx23c(model: _MdxcModel, mix: Mix, runner: Runner, threads: int) -> Iterator[Samples]:
    size = _size(model, _segment(model, mix))
    step = size // model.overlap
    lead = size - step
    padded = mix.frames + (step - (mix.frames - size) % step) + 2 * lead
    weight = np.ones(size, np.float32)
    # Leave out chunks from lead + frames on: they cover padding only.
    starts = range(0, min(padded - size + 1, lead + mix.frames), step)
    chunks = (Chunk(start - lead, size, weight) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner, model.overlap, runner.most, threads)


def _roformer(model: _MdxcModel, mix: Mix, runner: Runner, threads: int) -> Iterator[Samples]:
    config = model.model_data_cfgdict
    size = _size(model, _segment(model, mix))
    weight = np.hamming(size).astype(np.float32)
    length = min(size, mix.frames)
    # The STFT mirrors half a window at both ends, and a shorter mix does not have so many samples.
    least = int(getattr(config.model, "stft_n_fft", 2048))
    taken = length if length > least // 2 else least
    starts = model._roformer_chunk_starts(mix.frames, size, size // model.overlap)
    chunks = (Chunk(start, taken, weight[:length]) for start in starts)
    return overlap_add.stream(mix.open(), mix.frames, chunks, runner, batch=runner.most, threads=threads)
