"""Waiting for a condition, never for a time, and what conditions look at."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from common.storage.stage import MARKER

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of `condition()`. Raises AssertionError, which names `what`, after `timeout_s`."""
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
