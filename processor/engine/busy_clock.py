"""Measures how long the engine has worked, including the song under way."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BusyClock:
    """Adds up the engine's working time, for an engine that takes one job at a time. Thread-safe.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._total_s = 0.0
        self._began_s: float | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time of the `with` block."""
        began_s = self._clock()
        with self._lock:
            self._began_s = began_s
        try:
            yield
        finally:
            with self._lock:
                self._total_s += self._clock() - began_s
                self._began_s = None

    @property
    def seconds(self) -> float:
        """The seconds worked so far, including the song under way, so that a long song counts as it runs."""
        with self._lock:
            under_way_s = 0.0 if self._began_s is None else self._clock() - self._began_s
            return self._total_s + under_way_s
