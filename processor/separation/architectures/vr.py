"""Runs VR, masks on magnitude spectrograms of several bands, on the grid of the library's `VRSeparator`.

The library takes a song's whole spectrogram, scales it to a maximum of 1, and masks it patch by patch. Here a
first pass finds the maximum. A second pass treats block after block in the same way: it analyses the block
with context, masks it patch by patch, and joins the blocks. Blocks begin where frames of all bands begin.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, cast

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from processor.audio.wav import SAMPLE_RATE
from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import gpu, overlap_add
from processor.separation.architectures import library
from processor.separation.architectures.loading import loading
from processor.separation.batches import Batches
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel, stem_name
from processor.separation.overlap_add import Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")

# The library's defaults, and the file sizes in KiB by which it tells networks apart.
WINDOW, AGGRESSION = 512, 5
_SIZES = (31191, 33966, 56817, 123821, 123812, 129605, 218409, 537238, 537227)
# Of networks of version 5.1.
_V51_SIZES = (56817, 218409)
# The frames that a block's edges spoil, by the STFT's windows (at most 8 hops) and the resampling filters.
_EDGE_FRAMES = 24
_BLOCK_PATCHES = 4

Spectrogram = npt.NDArray[np.complex64]  # [channel, bin, frame]
Mask = npt.NDArray[np.float32]  # [channel, bin, frame]


class _VrModel(Protocol):
    """The library's VR model without its network.

    `aggressiveness` and `model_params` are passed on to the library.
    """

    NON_ACCOM_STEMS: tuple[str, ...]
    primary_stem_name: str
    secondary_stem_name: str
    model_params: Any
    model_samplerate: int
    model_run: Any
    is_vr_51_model: bool
    aggressiveness: Any
    audio_file_path: Samples
    wav_subtype: str

    def loading_mix(self) -> Spectrogram: ...

    def spec_to_wav(self, spectrum: Spectrogram) -> Samples: ...

    def _ensure_model_loaded(self, nn_arch_size: int) -> None: ...


class Core(torch.nn.Module):
    """Runs the library's network."""

    def __init__(self, network: Any, offset: int):
        """Raises ValueError where the answer does not lack `offset` frames on each side."""
        super().__init__()
        if network.offset != offset:
            raise ValueError(f"its network leaves out {network.offset} frames on each side, not {offset}")
        self._network = network

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Return the primary stem's share of each bin; both are [patch, 2, bin, frame]."""
        mask: Tensor = self._network.predict_mask(magnitudes)
        return mask


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network. Raises ModelUnavailable, and RuntimeError where OpenVINO refuses its core."""
    model = library_model(files)
    (core,) = open_cores([_source(files, model)], plan, device)

    def run(patches: Samples) -> Samples:
        with torch.inference_mode():
            (masks,) = core(torch.from_numpy(patches).to(device.torch_device))
            return cast(Samples, masks.cpu().numpy())

    runner = Batches(run, 1, gpu.GpuMemory().release)
    stems = (stem_name(model.primary_stem_name), stem_name(model.secondary_stem_name))

    def estimate(mix: Mix) -> Iterator[Samples]:
        return _Song(model, mix, runner).stems()

    return LoadedModel(files.name, stems, None, estimate, core.placement, plan.runtime, plan.precision)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the network's core. Raises ModelUnavailable."""
    return (_source(files, library_model(files)),)


def library_model(files: ModelFiles) -> _VrModel:
    """Return the library's own object without its network. Raises ModelUnavailable."""
    with loading(files):
        from audio_separator.separator.architectures.vr_separator import VRSeparator

        model: _VrModel = VRSeparator(
            library.common_config(files, CPU), {"window_size": WINDOW, "aggression": AGGRESSION}
        )
        # The library sets this when it loads the network.
        model.is_vr_51_model = model.is_vr_51_model or _size(files) in _V51_SIZES
        # So that the library passes the samples to its STFT unchanged.
        model.wav_subtype = "FLOAT"
        return model


def _source(files: ModelFiles, model: _VrModel) -> CoreSource:
    def module() -> torch.nn.Module:
        loaded = library_model(files)
        with loading(files):
            loaded._ensure_model_loaded(_size(files))
            return Core(loaded.model_run, _offset(model)).eval()

    shape = (1, 2, int(model.model_params.param["bins"]) + 1, WINDOW)
    return CoreSource(module, (torch.rand(shape, generator=torch.Generator().manual_seed(0)),))


def _size(files: ModelFiles) -> int:
    """Return the size in KiB by which the library tells the model's network."""
    kib = math.ceil(os.stat(files.path).st_size / 1024)
    return min(_SIZES, key=lambda size: abs(size - kib))


def _offset(model: _VrModel) -> int:
    """Return the frames that the network's answer lacks on each side."""
    return 64 if model.is_vr_51_model else 128


@dataclass(frozen=True)
class _Block:
    """The frames `begin` to before `end` of a song, with context: `spectrum` begins at frame `first`."""

    first: int
    begin: int
    end: int
    spectrum: Spectrogram

    def part(self, begin: int, end: int) -> Spectrogram:
        """Return the frames `begin` to before `end`, [2, bin, frame]."""
        return self.spectrum[:, :, begin - self.first : end - self.first]

    def own(self) -> Spectrogram:
        """Return the block's own frames, without its context."""
        return self.part(self.begin, self.end)

    def around(self, frames: int, multiple: int) -> "_Block":
        """Return the block with up to `frames` more on both sides; it begins at a multiple of `multiple`."""
        begin = max(self.begin - frames, 0)
        end = min(self.end + frames, self.first + self.spectrum.shape[2])
        return _Block(self.first, begin - begin % multiple, end, self.spectrum)


class _Song:
    """One mix under separation. Frames are numbered on the library's grid: frame 0 is centred on sample 0."""

    def __init__(self, model: _VrModel, mix: Mix, runner: Batches):
        from audio_separator.separator.uvr_lib_v5 import spec_utils

        self._model, self._mix, self._runner = model, mix, runner
        self._adjust = spec_utils.adjust_aggr
        self._is_voice = model.primary_stem_name in model.NON_ACCOM_STEMS
        bands = model.model_params.param["band"]
        top = bands[len(bands)]
        # The samples of the mix from one frame to the next.
        self._hop = Fraction(top["hl"] * SAMPLE_RATE, top["sr"])
        # The library's answer ends with its last whole frame, so the mix is padded to the next one.
        self._frames = math.ceil(mix.frames / self._hop) + 1
        self._length = math.ceil((self._frames - 1) * self._hop)
        self._offset = _offset(model)
        self._patch = WINDOW - 2 * self._offset
        self._masks: dict[int, Mask] = {}

    def stems(self) -> Iterator[Samples]:
        """Yield [2, 2, n]: the primary and the secondary stem."""
        maximum = max(float(np.abs(block.own()).max()) for block in self._blocks())
        for block in self._blocks():
            yield self._answer(block, maximum or 1.0)

    def _blocks(self) -> Iterator["_Block"]:
        window = overlap_add.Window(self._mix.open())
        size = _BLOCK_PATCHES * self._patch
        for begin in range(0, self._frames, size):
            end = min(begin + size, self._frames)
            first = max(begin - self._offset - 2 * _EDGE_FRAMES, 0)
            # At these frames the frames of all bands and a sample of the mix begin together.
            first -= first % self._hop.denominator
            last = min(end + self._patch + self._offset + 2 * _EDGE_FRAMES, self._frames)
            start = int(first * self._hop)
            stop = self._length if last == self._frames else math.ceil(last * self._hop)
            spectrum = self._spectrum(window.take(start, stop - start))[:, :, : last - first]
            yield _Block(first, begin, end, spectrum)

    def _spectrum(self, samples: Samples) -> Spectrogram:
        """Return the spectrogram of [2, n], all bands combined."""
        self._model.audio_file_path = np.ascontiguousarray(samples.T)
        return self._model.loading_mix()

    def _answer(self, block: "_Block", maximum: float) -> Samples:
        """Return both stems of the block, [2, 2, n]; `maximum` is the largest magnitude of the song."""
        # Resynthesis needs the frames around the block, which overlap with its own.
        near = block.around(_EDGE_FRAMES, self._hop.denominator)
        patches = range(near.begin // self._patch, -(-near.end // self._patch))
        known = self._masks  # of the block before, which shares patches with this one
        self._masks = {
            patch: known[patch] if patch in known else self._mask(block, patch, maximum) for patch in patches
        }
        skip = near.begin - patches.start * self._patch
        mask: Mask = np.concatenate(list(self._masks.values()), axis=2)[
            :, :, skip : skip + near.end - near.begin
        ]
        mask = self._adjust(mask, self._is_voice, self._model.aggressiveness)
        return np.stack([self._samples(block, near, share * near.own()) for share in (mask, 1 - mask)])

    def _mask(self, block: "_Block", patch: int, maximum: float) -> Mask:
        """Return the primary stem's share of each bin, [2, bin, self._patch]."""
        begin = patch * self._patch - self._offset
        taken = np.zeros((*block.spectrum.shape[:2], WINDOW), np.float32)
        first, last = max(begin, 0), min(begin + WINDOW, self._frames)
        taken[:, :, first - begin : last - begin] = np.abs(block.part(first, last)) / np.float32(maximum)
        return cast(Mask, self._runner(taken[None])[0])

    def _samples(self, block: "_Block", near: "_Block", spectrum: Spectrogram) -> Samples:
        """Return the block's own samples, [2, n], from a masked spectrogram of the frames of `near`."""
        wave = self._model.spec_to_wav(np.nan_to_num(spectrum, nan=0.0, posinf=0.0, neginf=0.0))
        if self._model.model_samplerate != SAMPLE_RATE:
            wave = librosa.resample(wave, orig_sr=self._model.model_samplerate, target_sr=SAMPLE_RATE)
        start = int(near.begin * self._hop)
        end = self._mix.frames if block.end == self._frames else math.floor(block.end * self._hop)
        return wave[:, math.floor(block.begin * self._hop) - start : end - start].astype(np.float32)
