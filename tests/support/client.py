"""Clients for tests, patient without waiting, and what the command has printed."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from client import Patience


def impatient(pauses_s: list[float] | None = None, clock: Callable[[], float] | None = None) -> Patience:
    """Its pauses take no time: they are noted in `pauses_s`, and its clock goes on by a second a look."""
    noted = [] if pauses_s is None else pauses_s
    seconds = count()
    return Patience(sleep=noted.append, clock=clock or (lambda: float(next(seconds))))


class Printed(Protocol):
    stdout: str


def objects(result: Printed) -> list[dict[str, Any]]:
    """Those of --json. Raises ValueError if anything else was printed among them."""
    return [json.loads(line) for line in result.stdout.splitlines()]
