"""MDX-Net: ONNX models on complex spectrograms, on the grid of the library's `MDXSeparator.demix()`.

The mix is padded by `trim` zeros in front and enough behind; chunks start every quarter less than a chunk;
each result is weighted by a symmetric Hann window as long as the chunk's part of the padded mix.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch

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
    """In samples. `chunk` is what the network takes at once, `trim` half its FFT."""

    chunk: int
    trim: int
    step: int

    def padded(self, frames: int) -> int:
        """The length of the padded mix."""
        usable = self.chunk - 2 * self.trim
        return self.trim + frames + (usable + self.trim - frames % usable)

    def chunks(self, frames: int) -> Iterator[Chunk]:
        whole_window = np.hanning(self.chunk)
        padded = self.padded(frames)
        # Chunks from trim + frames on would only add to samples that nobody wants.
        for start in range(0, self.trim + frames, self.step):
            actual = min(self.chunk, padded - start)
            window = whole_window if actual == self.chunk else np.hanning(actual)
            yield Chunk(start - self.trim, self.chunk, window)


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Raises ModelUnavailable."""
    model = library_model(files, device)
    grid = Grid(model.chunk_size, model.trim, int((1 - OVERLAP) * model.chunk_size))
    compensate = np.float32(model.compensate)

    frames = model.chunk_size // HOP_LENGTH + 1
    spectrum = Spectrum(model.n_fft, HOP_LENGTH, model.dim_f, frames, device.torch_device)

    # While one chunk is in the network the next one's spectra are made: two in it would cost memory.
    network = threading.Lock()

    def run(chunks: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            spectra = spectrum.of(torch.from_numpy(chunks).to(device.torch_device))
            with network:
                found = model.model_run(spectra)
            answer = torch.from_numpy(found).to(device.torch_device)
            return spectrum.samples(answer).cpu().numpy()[:, None] * compensate

    runner = Batches(run, 1)

    def estimate(mix: Mix) -> Iterator[Samples]:
        return overlap_add.stream(mix.open(), mix.frames, grid.chunks(mix.frames), runner, threads=2)

    primary, secondary = stem_name(model.primary_stem_name), stem_name(model.secondary_stem_name)
    providers = tuple(model.session.get_providers())
    return LoadedModel(files.name, (primary,), Residual(secondary, primary), estimate, providers)


def library_model(files: ModelFiles, device: DeviceChoice):
    """The library's own object, loaded. Raises ModelUnavailable."""
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
        return model


def _model_class():
    from audio_separator.separator.architectures.mdx_separator import MDXSeparator

    class Model(MDXSeparator):
        """The library's model on an ONNX session of ours: its own has no options."""

        def load_model(self) -> None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            # The pattern is one block for all activations at once: 130 MB more for Spleeter, and no faster.
            options.enable_mem_pattern = False
            # Threads that spin between two operators take the CPU from the job beside.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.session = onnxruntime.InferenceSession(
                self.model_path, options, providers=self.onnx_execution_provider
            )
            self.uses_pytorch_inference = False
            self.model_run = lambda spectrum: self.session.run(None, {"input": spectrum.cpu().numpy()})[0]

    return Model
