"""Computes the size of an upload's parts, and adds up what a user has uploaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_MIB = 1024 * 1024
# Below it, one PUT takes the whole song.
_SINGLE_BYTES = 64 * _MIB
_LEAST_PART_BYTES = 16 * _MIB
# So that few addresses are signed and named: 2 GB come in 128 parts.
_PARTS = 128
_MOST_UNFINISHED = 100


def part_bytes(size_bytes: int) -> int | None:
    """Returns the size of each part but the last, 16 MiB or more; None for a song that comes in one piece."""
    if size_bytes < _SINGLE_BYTES:
        return None
    even = -(-size_bytes // _PARTS)
    return max(-(-even // _MIB) * _MIB, _LEAST_PART_BYTES)


def part_sizes(size_bytes: int) -> Sequence[int]:
    """Returns the sizes of an upload's parts in their order; none for a song that comes in one piece.

    Whatever changes here must not change the parts of uploads that were begun before.
    """
    size = part_bytes(size_bytes)
    if size is None:
        return ()
    return [min(size, size_bytes - begin) for begin in range(0, size_bytes, size)]


@dataclass
class Usage:
    """Adds up a user's uploads from a listing of their objects, which comes in the order of the keys.

    A stored song counts as 1 MiB at least, so that there are not any number of small ones. `unfinished` has
    the keys of the records without a song.
    """

    stored_bytes: int = 0
    unfinished: list[str] = field(default_factory=list)
    _last_song: str = ""

    def add(self, key: str, size_bytes: int) -> None:
        directory, _, name = key.rpartition("/")
        if name == "audio":
            self.stored_bytes += max(size_bytes, _MIB)
            self._last_song = directory
        elif name == "upload.json" and directory != self._last_song:
            self.unfinished.append(key)

    @property
    def has_too_many_unfinished(self) -> bool:
        return len(self.unfinished) >= _MOST_UNFINISHED
