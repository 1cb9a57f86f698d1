"""A lock for each key, kept only while somebody has it or waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.jobs.handler import JobContext
from common.waiting import wait_until


class KeyedLocks:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, key: str, context: JobContext) -> Iterator[None]:
        """Waits for the key. Raises Cancelled when the job must stop meanwhile."""
        with self._changed:
            wait_until(self._changed, lambda: key not in self._held, context.check)
            self._held.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(key)
                self._changed.notify_all()
