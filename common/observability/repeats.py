"""Lines that say the same over and over: in an outage, one a minute is enough."""

import threading
import time
from collections.abc import Callable

_PERIOD_S = 60.0
_MAX_KEPT = 100


class Repeats:
    """Tells what is news from what was said already. Thread-safe."""

    def __init__(self, period_s: float = _PERIOD_S, clock: Callable[[], float] = time.monotonic):
        self._period_s, self._clock = period_s, clock
        self._said_s: dict[object, float] = {}
        self._lock = threading.Lock()

    def is_news(self, *what: object) -> bool:
        """Whether `what` was not asked about for the period; an error counts by its kind alone."""
        key = tuple(type(part) if isinstance(part, BaseException) else part for part in what)
        with self._lock:
            now_s = self._clock()
            if now_s - self._said_s.get(key, float("-inf")) < self._period_s:
                return False
            if len(self._said_s) >= _MAX_KEPT:
                self._said_s.clear()
            self._said_s[key] = now_s
            return True
