"""Gives a lock for each key, and forgets the lock once nobody holds it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.jobs.handler import JobContext
from common.waiting import wait_until


class KeyedLocks:
    """The locks by key. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, key: str, context: JobContext) -> Iterator[None]:
        """Holds the lock of `key` during the block. Raises Cancelled if the job must stop while it waits."""
        with self._changed:
            wait_until(self._changed, lambda: key not in self._held, context.check)
            self._held.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(key)
                self._changed.notify_all()
