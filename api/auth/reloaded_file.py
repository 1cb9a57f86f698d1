"""A file that is read again when it has changed, while the api runs."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

_MAX_BYTES = 8 * 1024 * 1024
# Device, inode, size in bytes, and the time of the last change in nanoseconds. None: there is no such file.
_Version = tuple[int, int, int, int] | None


class ReloadedFile(Generic[T]):
    """Holds what a file says. While the file cannot be used, its last usable content stays valid.

    The owner of the file can make a mistake at any time. An empty set of rules would then let everybody do
    everything, and an empty set of keys would lock programs out. The log names the mistake once.

    A request looks at the file's time and size, which takes a few microseconds, so that a change counts from
    the next request on.
    """

    def __init__(self, setting: str, path: Path, parse: Callable[[bytes], T], missing: T | None = None):
        """Read the file. Raise ValueError, which names `setting`, for a file that cannot be used.

        `parse` raises ValueError. `missing` is the content while the file has never been there; with None the
        file must be there.
        """
        self._setting, self._path, self._parse = setting, path, parse
        self._version = self._look()
        if self._version is None and missing is not None:
            self._content = missing
        else:
            self._content = self._read()

    def content(self) -> T:
        """Return what the file says now, or what its last usable version said."""
        version = self._look()
        if version != self._version:
            self._version = version
            try:
                self._content = self._read()
            except ValueError as error:
                log.error("%s. What the file said before stays valid until the api restarts", error)
            else:
                log.info("%s %s has changed and was read again", self._setting, self._path)
        return self._content

    def _look(self) -> _Version:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> T:
        """Raise ValueError for a file that cannot be used."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_BYTES + 1)
            if len(text) > _MAX_BYTES:
                raise ValueError(f"expected at most {_MAX_BYTES} bytes")
            return self._parse(text)
        except OSError as error:
            raise ValueError(
                f"{self._setting} {self._path} cannot be read: {error.strerror or error}"
            ) from None
        except ValueError as error:
            raise ValueError(f"{self._setting} {self._path}: {error}") from None
