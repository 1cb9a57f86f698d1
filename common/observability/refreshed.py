"""Keeps an answer that may take long, such as a store's or a disk's, so that a scrape never waits for it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_EVERY_S = 2.0
# So a question counts as unanswered once it has been under way for 10 s.
_GOOD_FOR_S = _EVERY_S + 10.0


class Refreshed(Generic[T]):
    """The last answer of `ask`, which a thread of its own asks every 2 s. Thread-safe."""

    def __init__(self, ask: Callable[[], T], clock: Callable[[], float] = time.monotonic):
        """`ask` may block, and raises nothing. `clock` gives seconds."""
        self._ask, self._clock = ask, clock
        # The answer with its time. Replaced as a whole: readers take no lock.
        self._last: tuple[T, float] | None = None

    def start(self, name: str) -> None:
        """Begin to ask, for as long as the process lives. `name` is the thread's."""
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def last(self) -> T | None:
        """Return the last answer without a wait; None if there is none that is at most 12 s old."""
        last = self._last
        return last[0] if last is not None and self._clock() - last[1] <= _GOOD_FOR_S else None

    def refresh(self) -> None:
        """Ask once."""
        answer = self._ask()
        self._last = (answer, self._clock())

    def _run(self) -> None:
        while True:
            self.refresh()
            time.sleep(_EVERY_S)
