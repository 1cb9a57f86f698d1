"""First come, first served: a job that waits for the engine is not overtaken by one that comes after it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TICK_S = 0.05


class FifoTurns:
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
                while self._queue[0] is not ticket:
                    self._changed.wait(_TICK_S)
                    check()
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
