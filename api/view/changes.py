"""Tells those who watch a task what is new of it."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from common.tasks.messages import Status


class TaskWatch:
    """What is told of one task. Used within the loop that it was made in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_news = asyncio.Event()
        self._latest: Status | None = None

    async def news(self) -> Status | None:
        """The latest that was told since the last call, waited for; None when nobody may go on watching."""
        await self._is_news.wait()
        self._is_news.clear()
        latest, self._latest = self._latest, None
        return latest

    def tell(self, status: Status | None) -> None:
        """From any thread; None: nobody may go on watching."""
        with suppress(RuntimeError):  # a loop that is closed
            self._loop.call_soon_threadsafe(self._take, status)

    def _take(self, status: Status | None) -> None:
        self._latest = status or self._latest
        self._is_news.set()


class Changes:
    """`tell` may be called from any thread, `watch` within any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[UUID, set[TaskWatch]] = defaultdict(set)
        self.ended = False

    @contextmanager
    def watch(self, task_uuid: UUID) -> Iterator[TaskWatch]:
        """Hears of every change from now on."""
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

    def tell(self, statuses: Iterable[Status]) -> None:
        with self._lock:
            for status in statuses:
                for watch in self._watches.get(status.task_uuid, ()):
                    watch.tell(status)

    def end(self) -> None:
        """The service stops: whoever watches is told so."""
        self.ended = True
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.tell(None)
