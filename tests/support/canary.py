"""Which files of a directory are opened by anybody, as the kernel tells it (inotify)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Notes every open of a file in the directory, from the start on."""

    def __init__(self, directory: Path):
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), f"inotify_add_watch {directory}")
        self._opened: set[str] = set()

    def opened(self) -> set[str]:
        """The names of the files that have been opened so far; the directory itself does not count."""
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return self._opened
            self._opened |= set(_names(data))

    def close(self) -> None:
        os.close(self._descriptor)


def _names(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        *_, length = _EVENT.unpack_from(data, at)
        name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
        if name:
            yield os.fsdecode(name)
        at += _EVENT.size + length


@contextmanager
def watched(directory: Path) -> Iterator[Watch]:
    watch = Watch(directory)
    try:
        yield watch
    finally:
        watch.close()
