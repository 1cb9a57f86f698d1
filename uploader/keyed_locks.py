"""Gives a lock for each key, and forgets the lock once nobody holds it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.jobs.handler import JobContext

_TICK_S = 0.2


class KeyedLocks:
    """The locks by key. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, key: str, context: JobContext) -> Iterator[None]:
        """Holds the lock of `key` during the block. Raises Cancelled if the job must stop while it waits."""
        with self._changed:
            while key in self._held:
                self._changed.wait(_TICK_S)
                context.check()
            self._held.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(key)
                self._changed.notify_all()
