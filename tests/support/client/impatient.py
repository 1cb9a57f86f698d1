"""Gives tests a patience whose pauses take no time, and the command `uvr` as a process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import IO, Any, Protocol

from tests.support.paths import REPOSITORY
from uvr_client import Patience


def impatient(pauses_s: list[float] | None = None, clock: Callable[[], float] | None = None) -> Patience:
    """Returns a patience that notes pauses in `pauses_s`; its clock advances 1 s each time it is read."""
    noted = [] if pauses_s is None else pauses_s
    seconds = count()
    return Patience(sleep=noted.append, clock=clock or (lambda: float(next(seconds))))


class Printed(Protocol):
    stdout: str


def objects(result: Printed) -> list[dict[str, Any]]:
    """Returns the objects that --json printed. Raises ValueError if anything else was printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def process(
    environment: dict[str, str],
    *arguments: str,
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Starts the command `uvr` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "uvr_client", *arguments],
        cwd=REPOSITORY / "client",
        env=environment | {"PATH": os.environ["PATH"], "HOME": environment["XDG_CONFIG_HOME"]},
        stdout=stdout,
        stderr=stderr,
        text=True,
        # Background jobs of a shell ignore SIGINT, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
