"""How long the engine has worked, by a clock that runs on while it does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BusyClock:
    """For an engine that takes one job at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._total_s = 0.0
        self._began_s: float | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._lock:
            self._began_s = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._total_s += self._clock() - self._began_s
                self._began_s = None

    @property
    def seconds(self) -> float:
        """In all so far, what is under way included: an hour's song counts while it is separated."""
        with self._lock:
            under_way_s = 0.0 if self._began_s is None else self._clock() - self._began_s
            return self._total_s + under_way_s
