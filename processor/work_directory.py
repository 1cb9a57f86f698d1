"""Gives each process a work directory of its own, and removes the directories of processes that have ended.

A process holds a lock on its directory until it ends, and the kernel releases the lock even after SIGKILL.
So a directory that another process can lock is abandoned.
"""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# Only directories with this prefix are removed: `root` may hold other files.
_PREFIX = "uvr-processor-"
_TRIES = 100


@dataclass(frozen=True)
class WorkDirectory:
    """A directory that belongs to this process until `release` or the process's end.

    `descriptor` holds the lock.
    """

    path: Path
    descriptor: int

    def release(self) -> None:
        """Release the lock; the next process that starts removes the directory."""
        os.close(self.descriptor)


def claim(root: Path, worker_id: str) -> WorkDirectory:
    """Create and lock an empty directory in `root`; remove the directories of ended processes.

    Creates `root` where it is missing. The name is new each time, so that two processes with the same
    `worker_id` do not share a directory. Raises OSError, also where the file system has no locks.
    """
    root.mkdir(parents=True, exist_ok=True)
    for directory in root.glob(f"{_PREFIX}*"):
        _remove_abandoned(directory)
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{worker_id}-", dir=root))
        descriptor = _lock(path)
        if descriptor is not None:
            return WorkDirectory(path, descriptor)
    raise OSError(errno.EAGAIN, "other processes removed each new directory at once", str(root))


def _remove_abandoned(directory: Path) -> None:
    descriptor = _lock(directory)
    if descriptor is None:
        return
    try:
        log.info("removing %s, whose process has ended", directory)
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(directory: Path) -> int | None:
    """Return a descriptor that holds the directory's lock.

    Returns None when another process holds the lock or has just removed the directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A process that starts at the same time may have removed the directory between `open` and `flock`.
        if os.path.samestat(os.fstat(descriptor), directory.stat(follow_symlinks=False)):
            return descriptor
    except FileNotFoundError:
        log.debug("%s is gone", directory)
    except BlockingIOError:
        log.debug("%s belongs to a running process", directory)
    os.close(descriptor)
    return None


@contextmanager
def of_attempt(directory: Path) -> Iterator[Path]:
    """Make an empty `directory` for one attempt, and remove it with its contents afterwards.

    Raises OSError.
    """
    # The directory may exist: an operator who resets an offset repeats the same attempt.
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
