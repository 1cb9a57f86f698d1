"""The file into which a song is downloaded, and what is kept of downloads that broke off.

A processor that is killed, or whose host breaks off, leaves the bytes and the version that they are part of.
The next attempt at the same run goes on with them if it is on the same machine.
"""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.tasks.messages import Task
from processor.audio.file_version import FileVersion

log = logging.getLogger(__name__)

_WRITE_BYTES = 1024 * 1024
_SONG, _VERSION = ".part", ".json"


class PartialFile:
    """A download's file. Used by one thread."""

    def __init__(
        self,
        path: Path,
        version_path: Path | None = None,
        make_room: Callable[[int], bool] = lambda needed_bytes: False,
    ):
        """Without a `version_path` nothing is kept when the download fails.

        `make_room` gives up other partial files until so many bytes are free; False: there are none.
        """
        self.path, self._version_path, self.make_room = path, version_path, make_room
        self.version: FileVersion | None = None
        self.size_bytes = 0
        if version_path is not None:
            self._read(version_path)

    @property
    def is_kept(self) -> bool:
        """True if the next attempt can go on with what is here."""
        return self._version_path is not None and self.version is not None and self.size_bytes > 0

    def begin(self, version: FileVersion | None) -> None:
        """Empty the file, for the bytes of `version`; None: of a version that cannot be asked for again."""
        # Bytes must never stand beside the version of others: first both go, then the new version comes.
        if self._version_path is not None:
            self._version_path.unlink(missing_ok=True)
        self.path.open("wb").close()
        self.version, self.size_bytes = version, 0
        if self._version_path is not None and version is not None:
            self._version_path.write_text(version.to_text())

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Lend a function that adds bytes to the file."""
        with self.path.open("ab", buffering=_WRITE_BYTES) as file:

            def append(piece: bytes) -> None:
                self.size_bytes += len(piece)
                file.write(piece)

            yield append

    def move_to(self, target: Path) -> None:
        """Give the complete file its name."""
        if self._version_path is not None:
            os.rename(self.path, target)
            self._version_path.unlink(missing_ok=True)

    def discard(self) -> bool:
        """Remove the file; return whether there was one."""
        was_there = self.path.exists() or self.path.is_symlink()
        if self._version_path is not None:
            self._version_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.version, self.size_bytes = None, 0
        return was_there

    def _read(self, version_path: Path) -> None:
        try:
            version = FileVersion.from_text(version_path.read_text())
        except (FileNotFoundError, UnicodeDecodeError):
            version = None
        size_bytes = self.path.stat().st_size
        if version is not None and size_bytes <= version.size_bytes:
            self.version, self.size_bytes = version, size_bytes
        else:
            self.begin(None)


@dataclass(frozen=True)
class PartialDownloads:
    """A directory of partial files that the processors of one machine share.

    A file is locked while a process writes it. One that nobody has written for `kept_for_s` is removed.
    """

    root: Path
    kept_for_s: float
    wall_clock: Callable[[], float]

    @contextmanager
    def of(self, task: Task) -> Iterator[PartialFile | None]:
        """Lend the file of this run; None while another process has it, which was frozen or is ending.

        Raises OSError.
        """
        self.root.mkdir(exist_ok=True)
        self.sweep()
        name = f"{task.task_uuid}.{task.run}.{hashlib.sha256(task.audio.encode()).hexdigest()[:16]}"
        path = self.root / f"{name}{_SONG}"
        descriptor = _lock(path, os.O_CREAT)
        if descriptor is None:
            yield None
            return
        partial = PartialFile(path, path.with_suffix(_VERSION), self.make_room)
        try:
            yield partial
        finally:
            if not partial.is_kept:
                partial.discard()
            os.close(descriptor)

    def make_room(self, needed_bytes: int) -> bool:
        """Remove the files that nobody writes, the oldest first, until `needed_bytes` are free.

        Return whether any was removed.
        """
        removed = False
        for path in sorted(self.root.glob(f"*{_SONG}"), key=_changed_s):
            if shutil.disk_usage(self.root).free >= needed_bytes:
                break
            removed = self._remove(path) or removed
        return removed

    def sweep(self) -> None:
        """Remove the files that nobody has written for `kept_for_s`."""
        for path in self.root.glob(f"*{_SONG}"):
            if self.wall_clock() - _changed_s(path) >= self.kept_for_s:
                self._remove(path)

    def _remove(self, path: Path) -> bool:
        descriptor = _lock(path)
        if descriptor is None:
            return False
        # The version goes first: bytes without a version are not used.
        path.with_suffix(_VERSION).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        os.close(descriptor)
        log.info("removed the partial download %s", path.name)
        return True


def _changed_s(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _lock(path: Path, create: int = 0) -> int | None:
    """Return a descriptor that holds the file's lock; None if another process holds it, or removed it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | create, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        log.debug("%s belongs to another process, or is gone", path)
    os.close(descriptor)
    return None
