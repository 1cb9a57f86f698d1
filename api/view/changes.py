"""Passes the changes of tasks on to the requests that watch them."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from common.tasks.messages import Status


class TaskWatch:
    """The changes of one task, for one request. Belongs to the event loop in which it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_news = asyncio.Event()
        self._latest: Status | None = None

    async def news(self) -> Status | None:
        """Wait for a change since the last call. Return the latest status, or None if the service stops."""
        await self._is_news.wait()
        self._is_news.clear()
        latest, self._latest = self._latest, None
        return latest

    def tell(self, status: Status | None) -> None:
        """Pass on a status, or None when the service stops. May be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, status)

    def _take(self, status: Status | None) -> None:
        self._latest = status or self._latest
        self._is_news.set()


class Changes:
    """The watches of all tasks. `tell` may be called from any thread, `watch` in any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[UUID, set[TaskWatch]] = defaultdict(set)
        self.ended = False

    @contextmanager
    def watch(self, task_uuid: UUID) -> Iterator[TaskWatch]:
        """Collect every change of the task within the block."""
        watch = TaskWatch()
        with self._lock:
            self._watches[task_uuid].add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches[task_uuid].discard(watch)
                if not self._watches[task_uuid]:
                    del self._watches[task_uuid]

    @property
    def are_watched(self) -> bool:
        return bool(self._watches)

    def tell(self, statuses: Iterable[Status]) -> None:
        with self._lock:
            for status in statuses:
                for watch in self._watches.get(status.task_uuid, ()):
                    watch.tell(status)

    def end(self) -> None:
        """End all watches, because the service stops."""
        self.ended = True
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.tell(None)
