"""Keeps the pages of a mapped file out of the process's memory while others read through the mapping."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_READ_ONLY = "r--"
# Of Linux on all platforms: the pages go, and come back from the file when they are read.
_MADV_DONTNEED = 4
_INTERVAL_S = 0.05


@contextlib.contextmanager
def released(path: Path) -> Iterator[None]:
    """Within the context, release the pages of `path` now and then that were read through a mapping.

    OpenVINO maps a network's weights, and copies each once into the order that its kernels read. Both would
    be in memory at the end. The released pages stay in the kernel's cache as long as there is room.
    """
    done = threading.Event()
    thread = threading.Thread(target=_release_until, args=(path, done), name="released-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        release(path)


def _release_until(path: Path, done: threading.Event) -> None:
    while not done.wait(_INTERVAL_S):
        release(path)


def release(path: Path) -> None:
    """Release the pages of `path` in the mappings that nothing can write through."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    for begin, end in _mappings(str(path.resolve())):
        madvise(begin, end - begin, _MADV_DONTNEED)


def _mappings(path: str) -> Iterator[tuple[int, int]]:
    # A path need be no UTF-8, and str.splitlines would cut it at U+2028 or a form feed.
    for line in filter(None, os.fsdecode(_MAPS.read_bytes()).split("\n")):
        addresses, permissions, *others = line.split(maxsplit=5)
        if others[-1] == path and permissions.startswith(_READ_ONLY):
            begin, _, end = addresses.partition("-")
            yield int(begin, 16), int(end, 16)
