"""Writes 44.1 kHz stereo WAV files of any length, as RF64 (EBU Tech 3306) above 4 GiB.

A file of known length gets its final header at once. A file of unknown length gets a JUNK chunk, which
becomes the ds64 chunk where the file grows beyond 4 GiB.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44100
CHANNELS = 2

Kind = Literal["int16", "float32"]
_UNKNOWN_32 = 0xFFFFFFFF
_FORMAT_TAGS = {"int16": 1, "float32": 3}


def frame_bytes(kind: Kind) -> int:
    """Return the bytes of one frame, which has a sample of each channel."""
    return CHANNELS * np.dtype(kind).itemsize


def header(kind: Kind, frames: int, growable: bool = False) -> bytes:
    """Return the bytes before the samples of a file of `frames` frames.

    If `growable`, the header has the same length for any number of frames.
    """
    size = frame_bytes(kind)
    data_bytes = frames * size
    rate = struct.pack("<IIHH", SAMPLE_RATE, SAMPLE_RATE * size, size, 8 * size // CHANNELS)
    fmt = struct.pack("<HH", _FORMAT_TAGS[kind], CHANNELS) + rate
    chunks = _chunk(b"fmt ", fmt)
    if kind == "float32":
        chunks = _chunk(b"fmt ", fmt + b"\0\0") + _chunk(b"fact", struct.pack("<I", min(frames, _UNKNOWN_32)))
    following = 4 + len(chunks) + 8 + data_bytes
    if following > _UNKNOWN_32 - 1:
        ds64 = struct.pack("<QQQI", following + 36, data_bytes, frames, 0)
        return (
            struct.pack("<4sI4s", b"RF64", _UNKNOWN_32, b"WAVE")
            + _chunk(b"ds64", ds64)
            + chunks
            + struct.pack("<4sI", b"data", _UNKNOWN_32)
        )
    junk = _chunk(b"JUNK", bytes(28)) if growable else b""
    return (
        struct.pack("<4sI4s", b"RIFF", following + len(junk), b"WAVE")
        + junk
        + chunks
        + struct.pack("<4sI", b"data", data_bytes)
    )


class WavWriter:
    """Writes samples [frame, 2] of one kind; `written` counts the frames so far."""

    def __init__(self, path: Path, kind: Kind, frames: int | None = None):
        """Create the file for `frames` frames, None if their number is unknown. Raises OSError."""
        self._kind, self._frames = kind, frames
        self.written = 0
        self._file = path.open("wb")
        self._file.write(header(kind, frames or 0, growable=frames is None))

    def write(self, samples: npt.NDArray[np.float32] | npt.NDArray[np.int16]) -> None:
        """Write the next samples. Raises OSError."""
        self._file.write(np.ascontiguousarray(samples, np.dtype(self._kind).newbyteorder("<")).data)
        self.written += len(samples)

    def close(self) -> None:
        """Write the final header where the length was unknown, and close the file. Raises OSError."""
        with self._file:
            if self._frames is None:
                self._file.seek(0)
                self._file.write(header(self._kind, self.written, growable=True))

    def __enter__(self) -> "WavWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content
