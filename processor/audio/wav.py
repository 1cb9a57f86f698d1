"""44.1 kHz stereo WAV files of any length: RF64 (EBU Tech 3306) where 4 GiB are passed.

A file whose length is known gets its final header at once. One whose length is not gets a JUNK chunk that
becomes the ds64 chunk if the end turns out to need it.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

SAMPLE_RATE = 44100
CHANNELS = 2

Kind = Literal["int16", "float32"]
_UNKNOWN_32 = 0xFFFFFFFF
_FORMAT_TAGS = {"int16": 1, "float32": 3}


def frame_bytes(kind: Kind) -> int:
    return CHANNELS * np.dtype(kind).itemsize


def header(kind: Kind, frames: int, growable: bool = False) -> bytes:
    """What precedes the samples; of one length for all `frames` if `growable`."""
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
    """Takes samples of its kind, [frame, channel]. `frames`: how many there will be, None if unknown."""

    def __init__(self, path: Path, kind: Kind, frames: int | None = None):
        """Raises OSError."""
        self._kind, self._frames = kind, frames
        self.written = 0
        self._file = path.open("wb")
        self._file.write(header(kind, frames or 0, growable=frames is None))

    def write(self, samples: np.ndarray) -> None:
        """Raises OSError."""
        self._file.write(np.ascontiguousarray(samples, np.dtype(self._kind).newbyteorder("<")).data)
        self.written += len(samples)

    def close(self) -> None:
        """Raises OSError."""
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
