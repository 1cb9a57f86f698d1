"""A record on its last attempt works alone in its worker.

When a worker dies, an attempt is counted of every record that it had begun. Were last attempts made beside
others, a song that kills its worker each time would take with it those that happened to run next to it.
Jobs that have stepped aside, since they wait for a host or a receiver, are waited for at most a moment.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import Cancelled
from common.waiting import wait_until

# For jobs that have stepped aside. They may take an hour, and their deaths do not count (common.worker.seat).
_ASIDE_PATIENCE_S = 10.0


class Quarantine:
    """One worker's, for the threads of its jobs."""

    def __init__(self, aside_patience_s: float = _ASIDE_PATIENCE_S) -> None:
        self._aside_patience_s = aside_patience_s
        self._changed = threading.Condition()
        self._working = 0
        self._aside = 0
        self._alone_waiting = 0
        self._alone_working = False

    @contextmanager
    def turn(self, alone: bool, live: Callable[[], bool]) -> Iterator[None]:
        """As `begin`, and `end` after the block."""
        self.begin(alone, live)
        try:
            yield
        finally:
            self.end(alone)

    def begin(self, alone: bool, live: Callable[[], bool]) -> None:
        """Waits until the job may work: beside others, or `alone`. Raises Cancelled once it is not `live`."""
        with self._changed:
            self._begin(alone, live)

    def step_aside(self, alone: bool) -> None:
        """The job only waits for somebody else's network until `come_back` or `end_aside`."""
        with self._changed:
            self._end(alone)
            self._aside += 1

    def come_back(self, alone: bool, live: Callable[[], bool]) -> None:
        """As `begin`, for a job that has stepped aside. It still has when this raises."""
        with self._changed:
            self._aside -= 1
            try:
                self._begin(alone, live)
            except BaseException:
                self._aside += 1
                raise

    def end_aside(self) -> None:
        """A job that has stepped aside has ended."""
        with self._changed:
            self._aside -= 1
            self._changed.notify_all()

    def end(self, alone: bool) -> None:
        """The job's work is over."""
        with self._changed:
            self._end(alone)

    def _begin(self, alone: bool, live: Callable[[], bool]) -> None:
        if alone:
            self._wait_for_solitude(live)
        else:
            self._wait(live, lambda: not self._alone_waiting and not self._alone_working)
        self._working += 1
        self._alone_working = alone

    def _end(self, alone: bool) -> None:
        self._working -= 1
        if alone:
            self._alone_working = False
        self._changed.notify_all()

    def _wait_for_solitude(self, live: Callable[[], bool]) -> None:
        until_s = time.monotonic() + self._aside_patience_s

        def waits_for_others_aside() -> bool:
            return self._aside > 0 and time.monotonic() < until_s

        while self._working or waits_for_others_aside():
            # While it waits for those aside, others may start.
            self._wait(live, lambda: not waits_for_others_aside())
            # While it waits for those that work, no other starts: there would always be one more.
            self._alone_waiting += 1
            try:
                self._wait(live, lambda: not self._working or waits_for_others_aside())
            finally:
                self._alone_waiting -= 1
                self._changed.notify_all()

    def _wait(self, live: Callable[[], bool], ready: Callable[[], bool]) -> None:
        def check() -> None:
            if not live():
                raise Cancelled

        wait_until(self._changed, ready, check)
