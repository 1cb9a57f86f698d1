"""Reads the lengths and the stems of an MDXC network from its configuration, as the library does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from processor.audio.wav import SAMPLE_RATE
from processor.models.catalogue import Data
from processor.models.model_files import ModelFiles
from processor.separation.architectures import roformer_settings
from processor.separation.architectures.mdx_parameters import other_stem
from processor.separation.architectures.roformer_settings import Settings
from processor.separation.loaded_model import Residual, stem_name, vocals_residual
from processor.separation.overlap_add import Chunk

# For songs below 10 s the library takes its own segment size, not the model's.
SHORT_FRAMES, SHORT_SEGMENT = 10 * SAMPLE_RATE, 256
_OVERLAP, _BATCH = 8, 1


@dataclass(frozen=True)
class Mdx23cSettings:
    """The settings of an MDX23C network outside of its core, which takes and gives the `bins` lowest bins.

    `least_frames` are the fewest that the network takes, twice over.
    """

    n_fft: int
    hop: int
    bins: int
    least_frames: int
    stems: int


@dataclass(frozen=True)
class MdxcParameters:
    """The grid and the stems of an MDXC network; `settings` are those of its family.

    Chunks have `segment` STFT frames of `hop` samples, and `overlap` chunks cover each sample. An MDX23C
    network takes `batch` chunks at once.
    """

    settings: Settings | Mdx23cSettings
    overlap: int
    batch: int
    hop: int
    segment: int
    stems: tuple[str, ...]
    residual: Residual | None

    @classmethod
    def of(cls, files: ModelFiles) -> Self:
        """Raise KeyError, TypeError or ValueError where a value of the configuration is missing or wrong."""
        config, name = files.parameters, files.path.name
        stems, residual = _stems(config["training"])
        settings: Settings | Mdx23cSettings
        hop = config["audio"].get("hop_length")
        if roformer_settings.is_roformer(config, name):
            settings = roformer_settings.settings_of(config, name)
            hop = config["model"].get("stft_hop_length") or hop
        else:
            settings = _mdx23c_settings(config, len(stems))
        inference = config["inference"]
        overlap, batch = inference.get("num_overlap"), inference.get("batch_size")
        return cls(
            settings,
            overlap=_positive(_OVERLAP if overlap is None else overlap),
            batch=_positive(_BATCH if batch is None else batch),
            hop=int(hop),
            segment=int(inference["dim_t"]),
            stems=stems,
            residual=residual,
        )

    def size(self, frames: int) -> int:
        """Return the samples in a chunk of a song of `frames` samples."""
        segment = SHORT_SEGMENT if frames < SHORT_FRAMES else self.segment
        return self.hop * (segment - 1)

    def chunks(self, frames: int) -> Iterator[Chunk]:
        """Yield the chunks of a song of `frames` samples."""
        size = self.size(frames)
        if isinstance(self.settings, Settings):
            return self._roformer_chunks(frames, size, self.settings.n_fft)
        return self._mdx23c_chunks(frames, size)

    def _mdx23c_chunks(self, frames: int, size: int) -> Iterator[Chunk]:
        step = size // self.overlap
        lead = size - step
        padded = frames + (step - (frames - size) % step) + 2 * lead
        weight = np.ones(size, np.float32)
        # Leave out chunks from lead + frames on: they cover padding only.
        for start in range(0, min(padded - size + 1, lead + frames), step):
            yield Chunk(start - lead, size, weight)

    def _roformer_chunks(self, frames: int, size: int, n_fft: int) -> Iterator[Chunk]:
        weight = np.hamming(size).astype(np.float32)
        length = min(size, frames)
        # The STFT mirrors half a window at both ends, and a shorter mix does not have so many samples.
        taken = length if length > n_fft // 2 else n_fft
        for start in self._roformer_starts(frames, size):
            yield Chunk(start, taken, weight[:length])

    def _roformer_starts(self, frames: int, size: int) -> Iterator[int]:
        """Yield where chunks begin: the last one is moved back so that it ends with the mix."""
        step = size // self.overlap
        last = max(frames - size, 0)
        yield from range(0, last, step)
        yield last


def _mdx23c_settings(config: Data, stems: int) -> Mdx23cSettings:
    audio, model = config["audio"], config["model"]
    return Mdx23cSettings(
        n_fft=int(audio["n_fft"]),
        hop=int(audio["hop_length"]),
        bins=int(audio["dim_f"]),
        # Each scale halves the frames, or what `scale` says.
        least_frames=2 * int(model["scale"][0]) ** int(model["num_scales"]),
        stems=stems,
    )


def _positive(value: Any) -> int:
    number = int(value)
    if number <= 0:
        raise ValueError(f"its overlap or batch size is {number}")
    return number


def _stems(training: dict[str, Any]) -> tuple[tuple[str, ...], Residual | None]:
    """Return the stems of the network's answer, and the stem that is the rest of the mix."""
    instruments = [str(name) for name in training["instruments"]]
    target = training.get("target_instrument")
    stems = tuple(stem_name(name) for name in ([str(target)] if target else instruments))
    if residual := vocals_residual(stems):
        return stems, residual  # not `other`, as some configurations call the rest
    if len(stems) > 1:
        return stems, None
    others = [stem_name(name) for name in instruments if stem_name(name) not in stems]
    rest = others[0] if len(others) == 1 else stem_name(other_stem(stems[0].capitalize()))
    return stems, Residual(rest, stems[0])
