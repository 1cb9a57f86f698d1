"""Runs MDX-Net, ONNX models on complex spectrograms, on the grid of the library's `MDXSeparator.demix()`.

The mix is padded with `trim` zeros before it, and with zeros after it up to a whole number of chunks. Chunks
overlap by a quarter. Each answer is weighted by a symmetric Hann window, as long as the chunk's part of the
padded mix.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import gpu, overlap_add
from processor.separation.architectures import library
from processor.separation.architectures.loading import loading
from processor.separation.architectures.spectrum import Spectrum
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel, Residual, stem_name
from processor.separation.overlap_add import Chunk, Mix, Samples
from processor.separation.runtimes.core import OnnxSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")

HOP_LENGTH = 1024
OVERLAP = 0.25
# These networks are large convolutions, which keep a GPU busy with few chunks.
MOST_ON_GPU = 4
DEFAULT_PLAN = Plan("onnxruntime")


@dataclass(frozen=True)
class Grid:
    """The lengths of the grid in samples.

    `chunk` is one input of the network, `trim` half its FFT, and `step` the way from chunk to chunk.
    """

    chunk: int
    trim: int
    step: int

    def padded(self, frames: int) -> int:
        """Return the length of the padded mix in samples."""
        usable = self.chunk - 2 * self.trim
        return self.trim + frames + (usable + self.trim - frames % usable)

    def chunks(self, frames: int) -> Iterator[Chunk]:
        """Yield the chunks of a mix of `frames` samples."""
        whole_window = np.hanning(self.chunk)
        padded = self.padded(frames)
        # Leave out chunks from trim + frames on: they would add to the padding only.
        for start in range(0, self.trim + frames, self.step):
            actual = min(self.chunk, padded - start)
            window = whole_window if actual == self.chunk else np.hanning(actual)
            yield Chunk(start - self.trim, self.chunk, window)


class _MdxModel(Protocol):
    """The library's MDX model without its network. Its lengths are in samples."""

    chunk_size: int
    trim: int
    n_fft: int
    dim_f: int
    compensate: float
    primary_stem_name: str
    secondary_stem_name: str


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = DEFAULT_PLAN) -> LoadedModel:
    """Load the model. Raises ModelUnavailable."""
    model = _library_model(files, device)
    grid = Grid(model.chunk_size, model.trim, int((1 - OVERLAP) * model.chunk_size))
    compensate = np.float32(model.compensate)
    with loading(files):
        (core,) = open_cores(_sources(files, model), plan, device)

    spectrum = Spectrum(model.n_fft, HOP_LENGTH, model.dim_f, _frames(model), device.torch_device)

    # One run of the network at a time: a second one would cost memory. Its spectra are computed meanwhile.
    network = threading.Lock()

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode():
            spectra = spectrum.of(gpu.to_device(chunks, device))
            with network:
                (answer,) = core(spectra)
            samples: Samples = gpu.to_host(spectrum.samples(answer))[:, None] * compensate
            return samples

    runner = gpu.runner(run, device, on_cpu=1, most=MOST_ON_GPU)

    def estimate(mix: Mix) -> Iterator[Samples]:
        chunks = grid.chunks(mix.frames)
        return overlap_add.stream(mix.open(), mix.frames, chunks, runner, batch=runner.most, threads=2)

    primary, secondary = stem_name(model.primary_stem_name), stem_name(model.secondary_stem_name)
    residual = Residual(secondary, primary)
    return LoadedModel(
        files.name, (primary,), residual, estimate, core.placement, plan.runtime, plan.precision
    )


def core_sources(files: ModelFiles) -> tuple[OnnxSource, ...]:
    """Return the model's network. Raises ModelUnavailable."""
    return _sources(files, _library_model(files, CPU))


def _sources(files: ModelFiles, model: _MdxModel) -> tuple[OnnxSource, ...]:
    return (OnnxSource(files.path, ((1, 4, model.dim_f, _frames(model)),)),)


def _frames(model: _MdxModel) -> int:
    """Return the number of STFT frames in a chunk."""
    return model.chunk_size // HOP_LENGTH + 1


def _library_model(files: ModelFiles, device: DeviceChoice) -> _MdxModel:
    """Return the library's own object without its network. Raises ModelUnavailable."""
    mdx = {
        "hop_length": HOP_LENGTH,
        "segment_size": 2 ** files.parameters["mdx_dim_t_set"],
        "overlap": OVERLAP,
        "batch_size": 1,
        "enable_denoise": False,
    }
    with loading(files):
        model = _model_class()(library.common_config(files, device), mdx)
        model.initialize_model_settings()
        return cast(_MdxModel, model)


def _model_class() -> Any:
    """Return the library's class, which knows the model's grid and stems, without its ONNX session."""
    from audio_separator.separator.architectures.mdx_separator import MDXSeparator

    class Model(MDXSeparator):  # type: ignore[misc]  # the library has no types
        def load_model(self) -> None:
            """Leave the network to the runtime that the plan names."""

    return Model
