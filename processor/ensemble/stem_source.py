"""Reads a stem block by block, from its file or as the rest of the mix."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from processor.audio.wav import CHANNELS, SAMPLE_RATE, WavWriter

Samples = npt.NDArray[np.float32]
BLOCK_FRAMES = 1 << 16


@dataclass(frozen=True)
class StemSource:
    """A stereo float WAV file at 44.1 kHz; with `minus`, the file minus that other one."""

    path: Path
    minus: Path | None = None


class StemReader:
    """Reads a stem from its beginning. Use it in a `with` block."""

    def __init__(self, source: StemSource):
        """Open the files. Raises soundfile.LibsndfileError."""
        with ExitStack() as stack:
            self._files = [
                stack.enter_context(soundfile.SoundFile(path))
                for path in filter(None, (source.path, source.minus))
            ]
            self.frames: int = self._files[0].frames
            self._close = stack.pop_all()

    def read(self, count: int) -> Samples:
        """Return the next `count` frames, float32 [n, 2]; zeros behind the stem's end."""
        found = np.zeros((count, CHANNELS), np.float32)
        block = self._files[0].read(count, dtype="float32", always_2d=True)
        found[: len(block)] = block
        for file in self._files[1:]:
            block = file.read(count, dtype="float32", always_2d=True)
            found[: len(block)] -= block
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()


def blocks(source: StemSource) -> Iterator[Samples]:
    """Yield the stem, float32 [n, 2]."""
    with StemReader(source) as reader:
        for start in range(0, reader.frames, BLOCK_FRAMES):
            yield reader.read(min(BLOCK_FRAMES, reader.frames - start))


def duration_s(path: Path) -> float:
    """Return the length of a 44.1 kHz file in seconds."""
    return float(soundfile.info(path).frames) / SAMPLE_RATE


def write(source: StemSource, target: Path) -> None:
    """Write the stem as a float32 WAV file. Raises OSError."""
    with WavWriter(target, "float32") as writer:
        for block in blocks(source):
            writer.write(block)
