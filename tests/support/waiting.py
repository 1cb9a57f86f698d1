"""Waiting for a condition, never for a time, and what conditions look at."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from common.storage.stage import MARKER

T = TypeVar("T")
# A condition that comes true is seen at once, so patience costs only a failing test. Machines that run other
# work too have made services wait three times as long for the CPU.
_BUSY_FACTOR = 3


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of `condition()`, which takes at most `timeout_s` on a quiet machine.

    Raises AssertionError, which names `what`, after three times as long.
    """
    timeout_s *= _BUSY_FACTOR
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {timeout_s} s")
        time.sleep(0.05)


def below(directory: Path, files_only: bool = False) -> list[str]:
    """What lies below a directory that others may be emptying meanwhile; a stage's marker is nothing."""
    found = []
    for where, directories, files in os.walk(directory):  # passes over what has gone, unlike Path.rglob
        names = files if files_only else files + directories
        found += [os.path.join(where, name) for name in names if name != MARKER]
    return found
