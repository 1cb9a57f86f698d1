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
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures import library
from processor.separation.architectures.spectrum import Spectrum
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel, Residual, stem_name
from processor.separation.overlap_add import Chunk, Mix, Samples

lazy_imports.postpone("scipy.signal")

HOP_LENGTH = 1024
OVERLAP = 0.25


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
    """The library's loaded MDX model. Its lengths are in samples.

    `model_run` takes and returns spectra [chunk, 4, bins, frames].
    """

    chunk_size: int
    trim: int
    n_fft: int
    dim_f: int
    compensate: float
    primary_stem_name: str
    secondary_stem_name: str
    session: Any  # onnxruntime.InferenceSession

    def model_run(self, spectra: Tensor) -> npt.NDArray[np.float32]: ...


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Load the model on an ONNX session. Raises ModelUnavailable."""
    model = library_model(files, device)
    grid = Grid(model.chunk_size, model.trim, int((1 - OVERLAP) * model.chunk_size))
    compensate = np.float32(model.compensate)

    frames = model.chunk_size // HOP_LENGTH + 1
    spectrum = Spectrum(model.n_fft, HOP_LENGTH, model.dim_f, frames, device.torch_device)

    # One chunk at a time in the network: a second one would cost memory. Its spectra are computed meanwhile.
    network = threading.Lock()

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode():
            spectra = spectrum.of(torch.from_numpy(chunks).to(device.torch_device))
            with network:
                found = model.model_run(spectra)
            answer = torch.from_numpy(found).to(device.torch_device)
            samples: Samples = spectrum.samples(answer).cpu().numpy()[:, None] * compensate
            return samples

    runner = Batches(run, 1)

    def estimate(mix: Mix) -> Iterator[Samples]:
        return overlap_add.stream(mix.open(), mix.frames, grid.chunks(mix.frames), runner, threads=2)

    primary, secondary = stem_name(model.primary_stem_name), stem_name(model.secondary_stem_name)
    providers = tuple(model.session.get_providers())
    residual = Residual(secondary, primary)
    return LoadedModel(files.name, (primary,), residual, estimate, providers, "onnxruntime", "fp32")


def library_model(files: ModelFiles, device: DeviceChoice) -> _MdxModel:
    """Return the library's own object with its model loaded. Raises ModelUnavailable."""
    mdx = {
        "hop_length": HOP_LENGTH,
        "segment_size": 2 ** files.parameters["mdx_dim_t_set"],
        "overlap": OVERLAP,
        "batch_size": 1,
        "enable_denoise": False,
    }
    with library.loading(files):
        model = _model_class()(library.common_config(files, device), mdx)
        model.initialize_model_settings()
        return cast(_MdxModel, model)


def _model_class() -> Any:
    """Return the library's class with an ONNX session of ours, for which the library has no options."""
    from audio_separator.separator.architectures.mdx_separator import MDXSeparator

    class Model(MDXSeparator):  # type: ignore[misc]  # the library has no types
        def load_model(self) -> None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            # The memory pattern is one block for all activations: 130 MB more for Spleeter, and no faster.
            options.enable_mem_pattern = False
            # Threads that spin between two operators take the CPU from other jobs.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.session = onnxruntime.InferenceSession(
                self.model_path, options, providers=self.onnx_execution_provider
            )
            self.uses_pytorch_inference = False
            self.model_run = lambda spectrum: self.session.run(None, {"input": spectrum.cpu().numpy()})[0]

    return Model
