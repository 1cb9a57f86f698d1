"""Writes stereo WAV files of any rate and length, as RF64 (EBU Tech 3306) above 4 GiB.

A file of known length gets its final header at once. A file of unknown length gets a JUNK chunk, which
becomes the ds64 chunk where the file grows beyond 4 GiB.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44100
MAX_RATE_HZ = 768_000
CHANNELS = 2

Kind = Literal["int16", "int24", "float32"]
_UNKNOWN_32 = 0xFFFFFFFF
_FORMAT_TAGS = {"int16": 1, "int24": 1, "float32": 3}
_SAMPLE_BYTES = {"int16": 2, "int24": 3, "float32": 4}
# The names that programs read; RIFF itself has none for the album's artist or the disc.
_INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "track": b"IPRT",
    "copyright": b"ICOP",
    "comment": b"ICMT",
}
_Samples = npt.NDArray[np.float32] | npt.NDArray[np.int16] | npt.NDArray[np.int32]


def frame_bytes(kind: Kind) -> int:
    """Return the bytes of one frame, which has a sample of each channel."""
    return CHANNELS * _SAMPLE_BYTES[kind]


def header(
    kind: Kind, frames: int, growable: bool = False, rate: int = SAMPLE_RATE, info: bytes = b""
) -> bytes:
    """Return the bytes before the samples of a file of `frames` frames, at `rate` in Hz.

    If `growable`, the header has the same length for any number of frames. `info` is the content of a LIST
    chunk (see `info_list`); without it there is no such chunk.
    """
    size = frame_bytes(kind)
    data_bytes = frames * size
    speed = struct.pack("<IIHH", rate, rate * size, size, 8 * size // CHANNELS)
    fmt = struct.pack("<HH", _FORMAT_TAGS[kind], CHANNELS) + speed
    chunks = _chunk(b"fmt ", fmt)
    if kind == "float32":
        chunks = _chunk(b"fmt ", fmt + b"\0\0") + _chunk(b"fact", struct.pack("<I", min(frames, _UNKNOWN_32)))
    if info:
        chunks += _chunk(b"LIST", info)
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

    def __init__(
        self,
        path: Path,
        kind: Kind,
        frames: int | None = None,
        rate: int = SAMPLE_RATE,
        tags: Mapping[str, str] | None = None,
    ):
        """Create the file for `frames` frames, None if their number is unknown. Raises OSError.

        `rate` is in Hz. Of `tags`, those that a WAV file can hold are written (see `info_list`).
        """
        self._kind, self._frames = kind, frames
        self._rate, self._info = rate, info_list(tags or {})
        self.written = 0
        self._file = path.open("wb")
        self._file.write(self._header(frames or 0))

    def write(self, samples: _Samples) -> None:
        """Write the next samples: int32 between -2^23 and 2^23 - 1 for int24, else of the file's kind.

        Raises OSError.
        """
        if self._kind == "int24":
            lowest_three = np.ascontiguousarray(samples, "<i4").view(np.uint8).reshape(-1, 4)[:, :3]
            self._file.write(np.ascontiguousarray(lowest_three).data)
        else:
            self._file.write(np.ascontiguousarray(samples, np.dtype(self._kind).newbyteorder("<")).data)
        self.written += len(samples)

    def close(self) -> None:
        """Write the final header where the length was unknown, and close the file. Raises OSError."""
        with self._file:
            if self._frames is None:
                self._file.seek(0)
                self._file.write(self._header(self.written))

    def _header(self, frames: int) -> bytes:
        return header(self._kind, frames, self._frames is None, self._rate, self._info)

    def __enter__(self) -> "WavWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def info_list(tags: Mapping[str, str]) -> bytes:
    """Return the content of a LIST chunk with the tags that INFO has names for, in UTF-8; else no bytes."""
    named = [(name, tags[tag]) for tag, name in _INFO_NAMES.items() if tags.get(tag)]
    return b"INFO" + b"".join(_chunk(name, text.encode() + b"\0") for name, text in named) if named else b""


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk, padded to an even number of bytes as RIFF wants it."""
    return struct.pack("<4sI", name, len(content)) + content + bytes(len(content) % 2)
