"""Wakes those who watch a task when something new is told of it."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

_Watch = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Changes:
    """`tell` may be called from any thread, `watch` within any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[UUID, set[_Watch]] = defaultdict(set)
        self.ended = False

    @contextmanager
    def watch(self, task_uuid: UUID) -> Iterator[asyncio.Event]:
        """An event that is set with every change from now on; whoever has seen it clears it."""
        watch = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._watches[task_uuid].add(watch)
        try:
            yield watch[1]
        finally:
            with self._lock:
                self._watches[task_uuid].discard(watch)
                if not self._watches[task_uuid]:
                    del self._watches[task_uuid]

    def tell(self, task_uuids: Iterable[UUID]) -> None:
        with self._lock:
            self._wake([w for key in task_uuids if key in self._watches for w in self._watches[key]])

    def end(self) -> None:
        """The service stops: whoever watches sees `ended`."""
        self.ended = True
        with self._lock:
            self._wake([watch for watches in self._watches.values() for watch in watches])

    def _wake(self, watches: Iterable[_Watch]) -> None:
        for loop, event in watches:
            with suppress(RuntimeError):  # a loop that is closed
                loop.call_soon_threadsafe(event.set)
