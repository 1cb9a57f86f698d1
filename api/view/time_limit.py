"""Stops a question to SQLite that takes too long, without any Python while SQLite reads.

SQLite's progress handler would be Python: beside busy threads each call waits 5 ms for the GIL, or more.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Of a question that has little to read: the machine is busy then.
LONGEST_S = 20.0
_LOOK_EVERY_S = 0.1


class TooMuchToRead(Exception):
    """A question was stopped, because it had not read everything within its CPU time."""


class MachineBusy(Exception):
    """A question was stopped, because it had not got its CPU time for long."""


@contextmanager
def limited(connection: sqlite3.Connection, cpu_s: float) -> Iterator[None]:
    """Stop what this thread asks `connection` meanwhile. Raise TooMuchToRead after `cpu_s` of its CPU time.

    Raise MachineBusy once it has taken LONGEST_S.
    """
    watch = _Watch(connection, cpu_s)
    watch.start()
    try:
        yield
    except sqlite3.OperationalError as error:
        # The error of a text that is not UTF-8 has no code.
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT and watch.reason is not None:
            raise watch.reason from None
        raise
    finally:
        watch.end()


class _Watch(threading.Thread):
    """Watches the thread that makes it. `reason` is set before the question is stopped."""

    def __init__(self, connection: sqlite3.Connection, cpu_s: float):
        super().__init__(name="view-watch", daemon=True)
        self._connection, self._cpu_s = connection, cpu_s
        self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        self._cpu_ends_at = time.clock_gettime(self._cpu_clock) + cpu_s
        self._ends_at = time.monotonic() + LONGEST_S
        self._over = threading.Event()
        self.reason: TooMuchToRead | MachineBusy | None = None

    def run(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            if time.clock_gettime(self._cpu_clock) >= self._cpu_ends_at:
                self.reason = TooMuchToRead(f"it was stopped after {self._cpu_s:g} s of CPU time")
            elif time.monotonic() >= self._ends_at:
                self.reason = MachineBusy(f"the machine is busy: a question took {LONGEST_S:g} s")
            if self.reason is not None:
                # Each time anew: between two statements there is nothing to interrupt.
                self._connection.interrupt()

    def end(self) -> None:
        """Return once nothing is interrupted any more: the thread's next question must go on."""
        self._over.set()
        self.join()
