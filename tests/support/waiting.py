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
# A look at a service costs both sides CPU, so whoever waits for long looks less often.
_INTERVAL_S, _LONGEST_INTERVAL_S, _INTERVAL_SHARE = 0.01, 0.2, 0.1


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of `condition()`, which takes at most `timeout_s` on a quiet machine.

    Raises AssertionError, which names `what`, after three times as long.
    """
    timeout_s *= _BUSY_FACTOR
    began_s = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited_s = time.monotonic() - began_s
        if waited_s > timeout_s:
            raise AssertionError(f"no {what} within {timeout_s} s")
        time.sleep(min(_INTERVAL_S + _INTERVAL_SHARE * waited_s, _LONGEST_INTERVAL_S))


def below(directory: Path, files_only: bool = False) -> list[str]:
    """What lies below a directory that others may be emptying meanwhile; a stage's marker is nothing."""
    found = []
    for where, directories, files in os.walk(directory):  # passes over what has gone, unlike Path.rglob
        names = files if files_only else files + directories
        found += [os.path.join(where, name) for name in names if name != MARKER]
    return found
