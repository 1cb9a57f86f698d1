"""Opens files and directories beneath a root without following a link at any component of the path.

Others may write into the root. Links that they put there are refused, and only regular files are read: a
named pipe would hold its reader for ever.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = _ROOT | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# The kernel's errors for a link, a file, a socket or a device in the way.
_FOREIGN = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV)
_MAKE_TRIES = 100


class ForeignEntry(OSError):
    """There is a link, a socket or a device in place of a directory or a regular file."""


@contextlib.contextmanager
def directory(root: Path, *names: str) -> Iterator[int]:
    """Opens the directory `root/names…` and gives its descriptor, for use as a `dir_fd`.

    Raises ForeignEntry and OSError.
    """
    descriptor = _open_directory(root, names)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def made_directory(root: Path, *names: str) -> Iterator[int]:
    """Opens the directory as `directory` does, and makes the directories that are missing.

    Others may remove empty directories meanwhile: then it tries again.
    """
    for tries_left in reversed(range(_MAKE_TRIES)):
        try:
            descriptor = _make_directory(root, names)
            break
        except FileNotFoundError:
            if not tries_left:
                raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(parent: int, name: str) -> BufferedReader:
    """Opens a regular file for reading. Raises ForeignEntry, FileNotFoundError and other OSErrors."""
    return _regular(_open(name, _FILE, parent), name)


def move_in(source: Path, parent: int, name: str) -> None:
    """Moves `source`, a regular file on any file system, to `name`, and replaces a file there.

    Raises ForeignEntry and OSError.
    """
    if not stat.S_ISREG(source.lstat().st_mode):
        raise _foreign(source.name)
    try:
        os.rename(source, name, dst_dir_fd=parent)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_in(source, parent, name)
        source.unlink()


def names_of_directories(parent: int) -> list[str]:
    """Returns the names of the directories in an opened directory, without links. Raises OSError."""
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _copy_in(source: Path, parent: int, name: str) -> None:
    with _regular(_open(source, _FILE, None), source.name) as file:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        with os.fdopen(os.open(name, _NEW_FILE, mode, dir_fd=parent), "wb") as target:
            shutil.copyfileobj(file, target, 1024 * 1024)


def _make_directory(root: Path, names: tuple[str, ...]) -> int:
    root.mkdir(parents=True, exist_ok=True)
    for depth, name in enumerate(names):
        with directory(root, *names[:depth]) as parent, contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    return _open_directory(root, names)


def _open_directory(root: Path, names: tuple[str, ...]) -> int:
    descriptor = os.open(root, _ROOT)
    for name in names:
        try:
            inner = _open(name, _DIRECTORY, descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _open(name: str | Path, flags: int, parent: int | None) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in _FOREIGN:
            raise _foreign(os.path.basename(name)) from None
        raise


def _regular(descriptor: int, name: str) -> BufferedReader:
    """Returns the open file of a descriptor, and closes the descriptor if it is no regular file's."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise _foreign(name)


def _foreign(name: str) -> ForeignEntry:
    return ForeignEntry(errno.ELOOP, "a link, or no regular file or directory", name)
