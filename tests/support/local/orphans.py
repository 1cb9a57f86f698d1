"""Lets this process take over the orphans of processes that it starts, as an init does."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def adopted_orphans() -> Iterator[None]:
    """Makes daemons that are started meanwhile children of this process, which psutil then waits for.

    Some containers have an init that looks for ended orphans every 2 s only: until then whoever waits for
    the end of a daemon waits, too.
    """
    _set_subreaper(True)
    try:
        yield
    finally:
        _set_subreaper(False)


def _set_subreaper(is_one: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
