"""Makes a command end in good order when it is stopped, and log without tracebacks."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn

# Until a signal comes again whose SystemExit has gone nowhere.
_AGAIN_S = 0.05


@contextmanager
def stopped_in_good_order() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and Ctrl-C raise SystemExit, so that a command that is stopped removes what is half done.

    Yields a function that raises it again after such a signal: OpenVINO's conversion calls Python, and takes
    whatever is raised there for a network that it cannot convert.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        sys.exit(128 + number)

    def check() -> None:
        if received:
            sys.exit(128 + received[0])

    both = (signal.SIGTERM, signal.SIGINT)
    # Background jobs of a shell ignore Ctrl-C, and go on doing so.
    heeded = [number for number in both if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heeded}
    try:
        with _sent_again(received):
            yield check
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _sent_again(received: list[int]) -> Iterator[None]:
    """Send a signal of `received` again where Python has passed over the SystemExit, and print nothing of it.

    It does so where the signal comes within a callback of a weak reference, or within `__del__`.
    """
    hook, timers = sys.unraisablehook, list[threading.Timer]()

    def passed_over(what: "sys.UnraisableHookArgs") -> None:
        if not received or what.exc_type is not SystemExit:
            hook(what)
            return
        timers.append(threading.Timer(_AGAIN_S, os.kill, (os.getpid(), received[-1])))
        timers[-1].start()

    sys.unraisablehook = passed_over
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for timer in timers:
            timer.cancel()
            timer.join()


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
