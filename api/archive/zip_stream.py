"""Writes a zip file as a stream of blocks, in constant memory whatever its size."""

import time
import zipfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

# Owner may read and write, everybody may read.
_MODE = 0o100644
_FIRST_YEAR = 1980


@dataclass(frozen=True)
class Entry:
    """A file in the archive. `blocks` are its bytes, `size_bytes` of them."""

    name: str
    size_bytes: int
    blocks: Iterable[bytes]


class _Sink:
    """Takes what `zipfile` writes. It cannot seek, so sizes and checksums follow each file's bytes."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `take` gives away what was written."""

    def close(self) -> None:
        """Do nothing, for the same reason."""

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


def blocks_of(entries: Iterable[Entry], modified_s: float) -> Generator[bytes]:
    """Yield the archive's bytes. The files are stored as they are: compressed audio hardly gets smaller.

    `modified_s` is the files' time in seconds since the epoch. Raise what the blocks of an entry raise.
    """
    sink = _Sink()
    moment = time.gmtime(modified_s)
    at = moment[:6] if moment.tm_year >= _FIRST_YEAR else (_FIRST_YEAR, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            described = zipfile.ZipInfo(entry.name, at)
            described.file_size, described.external_attr = entry.size_bytes, _MODE << 16
            yield from _blocks(archive, described, entry, sink)
    yield sink.take()


def _blocks(
    archive: zipfile.ZipFile, described: zipfile.ZipInfo, entry: Entry, sink: _Sink
) -> Iterator[bytes]:
    with archive.open(described, "w") as file:
        for block in entry.blocks:
            file.write(block)
            yield sink.take()
