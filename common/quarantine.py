"""A record on its last attempt works alone in its worker.

When a worker dies, an attempt is counted of every record that it had begun. Were last attempts made beside
others, a song that kills its worker each time would take with it those that happened to run next to it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import Cancelled

_TICK_S = 0.2


class Quarantine:
    """One worker's, for the threads of its jobs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working = 0
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
            if alone:
                self._wait_for_solitude(live)
            else:
                self._wait(live, lambda: not self._alone_waiting and not self._alone_working)
            self._working += 1
            self._alone_working = alone

    def end(self, alone: bool) -> None:
        """The job's work is over."""
        with self._changed:
            self._working -= 1
            if alone:
                self._alone_working = False
            self._changed.notify_all()

    def _wait_for_solitude(self, live: Callable[[], bool]) -> None:
        # While one waits no other starts: there would always be one more.
        self._alone_waiting += 1
        try:
            self._wait(live, lambda: not self._working)
        finally:
            self._alone_waiting -= 1
            self._changed.notify_all()

    def _wait(self, live: Callable[[], bool], ready: Callable[[], bool]) -> None:
        while not ready():
            self._changed.wait(_TICK_S)
            if not live():
                raise Cancelled
