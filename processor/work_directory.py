"""The directory that one process works in, below one that several share, and what ended ones have left.

A process holds a lock on its own directory for as long as it lives, however it ends. What can be locked by
somebody else is nobody's any more.
"""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# Only directories of this name are ever removed: `root` may hold others' files.
_PREFIX = "uvr-processor-"
_TRIES = 100


@dataclass(frozen=True)
class WorkDirectory:
    """`path` is this process's alone until `release`, or its end."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Leaves it to the next process that starts."""
        os.close(self.descriptor)


def claim(root: Path, worker_id: str) -> WorkDirectory:
    """A new, empty directory in `root`, which is made if need be; removes those of processes that have ended.

    Its name is a new one each time, so that a second process with the same `worker_id` disturbs nobody.
    Raises OSError, also where the file system of `root` has no locks.
    """
    root.mkdir(parents=True, exist_ok=True)
    for directory in root.glob(f"{_PREFIX}*"):
        _remove_abandoned(directory)
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{worker_id}-", dir=root))
        descriptor = _lock(path)
        if descriptor is not None:
            return WorkDirectory(path, descriptor)
    raise OSError(errno.EAGAIN, "other processes remove each directory as soon as it is made", str(root))


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
    """A descriptor that holds the lock; None when another process has it, or has just removed it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever starts beside us may have locked and removed it between our two calls.
        if os.path.samestat(os.fstat(descriptor), directory.stat(follow_symlinks=False)):
            return descriptor
    except FileNotFoundError:
        log.debug("%s is gone", directory)
    except BlockingIOError:
        log.debug("%s belongs to a running process", directory)
    os.close(descriptor)
    return None
