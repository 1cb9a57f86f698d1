"""Runs MDX-Net, ONNX models on complex spectrograms, on the grid of the library's `MDXSeparator.demix()`.

The mix is padded with `trim` zeros before it, and with zeros after it up to a whole number of chunks. Chunks
overlap by a quarter. Each answer is weighted by a symmetric Hann window, as long as the chunk's part of the
padded mix.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures.loading import loading
from processor.separation.architectures.mdx_parameters import MdxParameters
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel, Residual, stem_name
from processor.separation.overlap_add import Chunk, Mix, Samples
from processor.separation.runtimes.core import OnnxSource, Plan

OVERLAP = 0.25
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


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = DEFAULT_PLAN) -> LoadedModel:
    """Load the model. Raises ModelUnavailable."""
    with loading(files):
        parameters = MdxParameters.of(files.parameters)
        # The CPU's way does without torch, whose import takes a second and half the memory of an engine.
        way = importlib.import_module(f"{__name__}_on_{'cpu' if device == CPU else 'gpu'}")
        opened = way.open_network(_source(files, parameters), parameters, plan, device)
    grid = Grid(parameters.chunk, parameters.trim, int((1 - OVERLAP) * parameters.chunk))

    def estimate(mix: Mix) -> Iterator[Samples]:
        chunks = grid.chunks(mix.frames)
        return overlap_add.stream(
            mix.open(),
            mix.frames,
            chunks,
            opened.runner,
            batch=opened.runner.most,
            threads=opened.threads,
        )

    primary, secondary = stem_name(parameters.primary), stem_name(parameters.secondary)
    residual = Residual(secondary, primary)
    return LoadedModel(
        files.name, (primary,), residual, estimate, opened.placement, plan.runtime, plan.precision
    )


def core_sources(files: ModelFiles) -> tuple[OnnxSource, ...]:
    """Return the model's network. Raises ModelUnavailable."""
    with loading(files):
        return (_source(files, MdxParameters.of(files.parameters)),)


def _source(files: ModelFiles, parameters: MdxParameters) -> OnnxSource:
    return OnnxSource(files.path, (parameters.shape,))
