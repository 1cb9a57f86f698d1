"""Presents parts of a file, after bytes of our own, as one file that FFmpeg can read."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Range:
    """The bytes of a file from `start` to before `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class ByteView:
    """A readable file that consists of `prefix` and then the `ranges` of `file`."""

    def __init__(self, file: BinaryIO, ranges: list[Range], prefix: bytes = b""):
        self._file, self._prefix = file, prefix
        self._ranges = [part for part in ranges if part.size > 0]
        self.size = len(prefix) + sum(part.size for part in self._ranges)
        self._position = 0

    def read(self, count: int = -1) -> bytes:
        """Return up to `count` bytes, or the whole rest if `count` is negative. Raises OSError."""
        end = self.size if count < 0 else min(self.size, self._position + count)
        data = self.read_at(self._position, end - self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as a file's `seek` does; return the position. Raises ValueError for a negative position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("seek to a negative position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read_at(self, place: int, count: int) -> bytes:
        """Return `count` bytes at `place`, fewer at the end, without moving. Raises OSError."""
        pieces = [self._prefix[place : place + count]] if place < len(self._prefix) else []
        place, end = max(0, place - len(self._prefix)), place + count - len(self._prefix)
        begin = 0
        for part in self._ranges:
            low, high = max(place, begin), min(end, begin + part.size)
            if low < high:
                self._file.seek(part.start + low - begin)
                pieces.append(self._file.read(high - low))
            begin += part.size
        return b"".join(pieces)

    def part(self, start: int, end: int, prefix: bytes = b"") -> "ByteView":
        """Return a view of `prefix` and the bytes from `start` to before `end`.

        This view's own prefix is left out.
        """
        ranges, begin = [], len(self._prefix)
        for part in self._ranges:
            low, high = max(start, begin), min(end, begin + part.size)
            if low < high:
                ranges.append(Range(part.start + low - begin, part.start + high - begin))
            begin += part.size
        return ByteView(self._file, ranges, prefix)

    def without(self, gaps: list[Range]) -> "ByteView":
        """Return a view that leaves out `gaps`, which are sorted by their ends.

        This view must have no prefix.
        """
        kept, start = [], 0
        for gap in gaps:
            kept += self.part(start, gap.start)._ranges
            start = max(start, gap.end)
        return ByteView(self._file, kept + self.part(start, self.size)._ranges)

    def find_all(self, marks: tuple[bytes, ...]) -> Iterator[int]:
        """Yield in order the places where one of `marks` begins, each of at most 64 bytes. Raises OSError."""
        overlap = max(map(len, marks)) - 1
        for block in range(0, self.size, _BLOCK_BYTES):
            data = self.read_at(block, _BLOCK_BYTES + overlap)
            yield from sorted(block + at for mark in marks for at in _places(data, mark, _BLOCK_BYTES))


def _places(data: bytes, mark: bytes, before: int) -> Iterator[int]:
    at = data.find(mark)
    while 0 <= at < before:
        yield at
        at = data.find(mark, at + 1)
