"""Reads a song's file for its upload, and refuses a file that changes meanwhile."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

from uvr_client.errors import UploadFailed


@dataclass(frozen=True)
class SongFile:
    """A song's file as it was when its upload began.

    The api gets the size and sha256 before the bytes, which may be read several times. So each of them is
    read by `read`, which raises UploadFailed once the file has another size or time of modification.
    """

    path: Path
    size_bytes: int
    modified_ns: int
    sha256: str

    @classmethod
    def measured(cls, path: Path) -> Self:
        """Reads the whole file. Raises UploadFailed if it cannot be read, or changes meanwhile."""
        with _file_errors(path), _open(path) as file:
            found = os.fstat(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            song = cls(path, found.st_size, found.st_mtime_ns, sha256)
            song.read(file, 0)
        return song

    def open(self) -> BufferedReader:
        """Opens the file. Raises UploadFailed if that is not possible any more."""
        with _file_errors(self.path):
            return _open(self.path)

    def read(self, file: BufferedReader, count: int) -> bytes:
        """Returns the next `count` bytes. Raises UploadFailed if the file has changed or cannot be read."""
        with _file_errors(self.path):
            piece = file.read(count)
            found = os.fstat(file.fileno())
        is_same = (found.st_size, found.st_mtime_ns) == (self.size_bytes, self.modified_ns)
        if not is_same or len(piece) < count:
            raise UploadFailed(f"{self.path}: the file has changed while it was uploaded")
        return piece


def _open(path: Path) -> BufferedReader:
    """Opens a regular file. Opening a pipe could wait for ever, and its bytes can be read once only."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # the open below names a directory as such
        raise UploadFailed(f"{path}: this is not a regular file: save the song as one first")
    return path.open("rb")


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Raises UploadFailed for a file that cannot be read, and for what is no path."""
    try:
        yield
    except OSError as error:
        raise UploadFailed(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # of a NUL or a lone surrogate in the path
        raise UploadFailed(f"{path}: this is not the path of a file: {error}") from None
