"""Gives jobs their turns at the engine, first come, first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from common.waiting import StopCheck, wait_until

_TICK_S = 0.05


class FifoTurns:
    """One turn at a time, in the order in which they were asked for. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def turn(self, check: StopCheck) -> Iterator[None]:
        """Wait for the turn, and hold it for the `with` block. `check` may raise to give up the wait."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            with self._changed:
                wait_until(self._changed, lambda: self._queue[0] is ticket, check, _TICK_S)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
