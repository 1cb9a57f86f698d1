"""Makes a command end in good order when it is stopped, and log without tracebacks."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn


@contextmanager
def stopped_in_good_order() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that a command that is stopped removes what is half done."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def log_in_lines() -> None:
    """Let warnings go to stderr, each error in one line: the service's log has the tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Lines(logging.Formatter):
    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        kind, error, _ = ei
        first, *_ = str(error).splitlines() or [""]
        return f"{kind.__name__}: {first}" if kind else ""
