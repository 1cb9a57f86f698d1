"""Tells which log lines would only repeat an earlier one: in an outage, one a minute is enough."""

import threading
import time
from collections.abc import Callable

_PERIOD_S = 60.0
_MAX_KEPT = 100


class Repeats:
    """Remembers for a period what was logged. Thread-safe."""

    def __init__(self, period_s: float = _PERIOD_S, clock: Callable[[], float] = time.monotonic):
        self._period_s, self._clock = period_s, clock
        self._logged_s: dict[object, float] = {}
        self._lock = threading.Lock()

    def is_news(self, *what: object) -> bool:
        """Returns True for the first call with `what` in a period. An error is compared by its class only."""
        key = tuple(type(part) if isinstance(part, BaseException) else part for part in what)
        with self._lock:
            now_s = self._clock()
            if now_s - self._logged_s.get(key, float("-inf")) < self._period_s:
                return False
            if len(self._logged_s) >= _MAX_KEPT:
                self._logged_s.clear()
            self._logged_s[key] = now_s
            return True
