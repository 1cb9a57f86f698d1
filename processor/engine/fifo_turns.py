"""First come, first served: a job that waits for the engine is not overtaken by one that comes after it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.waiting import wait_until

_TICK_S = 0.05


class Turns:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def turn(self, check: Callable[[], None]) -> Iterator[None]:
        """Waits for the turn; `check` may raise meanwhile, and then there is none."""
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
