"""Lets a record on its last attempt work alone in its worker.

When a worker dies, an attempt counts against every record that the worker had begun. If last attempts were
made beside others, a song that kills its worker each time would have its neighbours given up too. A job that
has stepped aside waits for a host or a receiver. A last attempt waits for such jobs only a moment.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import Cancelled
from common.waiting import TICK_S, wait_until

# How long a last attempt waits for jobs that have stepped aside. Those may take an hour, and a death of the
# worker does not count against them (seat.py).
_ASIDE_PATIENCE_S = 10.0


class Quarantine:
    """Gives turns to the threads of one worker's jobs. `_changed` guards every field below it."""

    def __init__(self, aside_patience_s: float = _ASIDE_PATIENCE_S, tick_s: float = TICK_S) -> None:
        """`tick_s`: how often a job that waits looks whether its lease holds, and at the time."""
        self._aside_patience_s, self._tick_s = aside_patience_s, tick_s
        self._changed = threading.Condition()
        self._working = 0
        self._aside = 0
        self._alone_waiting = 0
        self._alone_working = False

    @contextmanager
    def turn(self, alone: bool, live: Callable[[], bool]) -> Iterator[None]:
        """Call `begin`, and `end` after the block."""
        self.begin(alone, live)
        try:
            yield
        finally:
            self.end(alone)

    def begin(self, alone: bool, live: Callable[[], bool]) -> None:
        """Wait until the job may work: beside others, or `alone`. Raises Cancelled once it is not `live`."""
        with self._changed:
            self._begin(alone, live)

    def step_aside(self, alone: bool) -> None:
        """Note that the job only waits for somebody else's network, until `come_back` or `end_aside`."""
        with self._changed:
            self._end(alone)
            self._aside += 1

    def come_back(self, alone: bool, live: Callable[[], bool]) -> None:
        """Wait as `begin` does, for a job that has stepped aside. If this raises, the job is still aside."""
        with self._changed:
            self._aside -= 1
            try:
                self._begin(alone, live)
            except BaseException:
                self._aside += 1
                raise

    def end_aside(self) -> None:
        """Note that a job that had stepped aside has ended."""
        with self._changed:
            self._aside -= 1
            self._changed.notify_all()

    def end(self, alone: bool) -> None:
        """Note that the job's work is over."""
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
            # While this job waits for those aside, others may start.
            self._wait(live, lambda: not waits_for_others_aside())
            # While this job waits for those that work, no other starts: there would always be one more.
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

        wait_until(self._changed, ready, check, self._tick_s)
