"""Runs VR, masks on magnitude spectrograms of several bands, on the grid of the library's `VRSeparator`.

The library takes a song's whole spectrogram, scales it to a maximum of 1, and masks it patch by patch. Here a
first pass finds the maximum. A second pass treats block after block in the same way: it analyses the block
with context, masks it patch by patch, and joins the blocks. Blocks begin where frames of all bands begin.
"""

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures.loading import loading
from processor.separation.architectures.vr_bands import Spectrogram, VrBands
from processor.separation.architectures.vr_parameters import WINDOW, VrParameters
from processor.separation.batches import Runner
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel, stem_name
from processor.separation.overlap_add import Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan

# The frames that a block's edges spoil, by the STFT's windows (at most 8 hops) and the resampling filters.
_EDGE_FRAMES = 24
_BLOCK_PATCHES = 4

Mask = npt.NDArray[np.float32]  # [channel, bin, frame]


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network. Raises ModelUnavailable, and RuntimeError where OpenVINO refuses its core."""
    with loading(files):
        parameters = VrParameters.of(files)
    way = importlib.import_module(f"{__name__}_by_{'arrays' if plan.is_by_arrays(device) else 'torch'}")
    opened = way.open_network(files, parameters, plan, device)
    bands = VrBands(parameters)

    def estimate(mix: Mix) -> Iterator[Samples]:
        return _Song(parameters, bands, mix, opened.runner).stems()

    stems = (stem_name(parameters.primary), stem_name(parameters.secondary))
    return LoadedModel(files.name, stems, None, estimate, opened.placement, plan.runtime, plan.precision)


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the network's core. Raises ModelUnavailable."""
    # Only conversions need it, and it imports torch.
    from processor.separation.architectures import vr_by_torch

    with loading(files):
        return (vr_by_torch.source(files, VrParameters.of(files)),)


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

    def __init__(self, parameters: VrParameters, bands: VrBands, mix: Mix, runner: Runner):
        self._parameters, self._bands, self._mix, self._runner = parameters, bands, mix, runner
        # The samples of the mix from one frame to the next.
        self._hop = bands.hop
        # The library's answer ends with its last whole frame, so the mix is padded to the next one.
        self._frames = math.ceil(mix.frames / self._hop) + 1
        self._length = math.ceil((self._frames - 1) * self._hop)
        self._offset = parameters.offset
        self._patch = WINDOW - 2 * self._offset
        self._masks: dict[int, Mask] = {}

    def stems(self) -> Iterator[Samples]:
        """Yield [2, 2, n]: the primary and the secondary stem."""
        maximum = max(float(np.abs(block.own()).max()) for block in self._blocks())
        for block in self._blocks():
            # The last block may hold only the frame that is centred on the song's end.
            if math.floor(block.begin * self._hop) < self._mix.frames:
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
            spectrum = self._bands.spectrogram(window.take(start, stop - start))[:, :, : last - first]
            yield _Block(first, begin, end, spectrum)

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
        mask = self._parameters.adjusted(mask)
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
        wave = self._bands.samples(np.nan_to_num(spectrum, nan=0.0, posinf=0.0, neginf=0.0))
        start = int(near.begin * self._hop)
        end = min(self._mix.frames, math.floor(block.end * self._hop))
        return wave[:, math.floor(block.begin * self._hop) - start : end - start].astype(np.float32)
