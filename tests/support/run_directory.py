"""A directory that the processes of a run share: what takes long to make is made there once, under a lock."""

import atexit
import fcntl
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_shared: list[Path] = []


def share(directory: Path) -> None:
    """Makes `directory`, which the process that distributes the tests removes, that of this process."""
    _shared.append(directory)


@functools.cache
def run_directory() -> Path:
    """The shared directory, or where one process runs all tests, one of its own."""
    if _shared:
        return _shared[0]
    directory = Path(tempfile.mkdtemp(prefix="uvr-test-run-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Lets one process at a time make what `name` names."""
    with (run_directory() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
