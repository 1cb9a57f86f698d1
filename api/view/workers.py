"""Holds what processors announce about themselves, and tells which of the announcements count."""

import threading
import time
from collections.abc import Callable, Iterable

from common.tasks.messages import WorkerSeen
from common.tasks.messages.worker import MAX_AGE_S


class AnnouncedWorkers:
    """The last announcement of each processor. The view's feed adds them, and event loops ask. Thread-safe.

    An announcement counts for 3 min from its `at` (seconds since the epoch), by this host's `wall_clock`. One
    from more than 3 min ahead does not count either: such a clock tells nothing. Nor does a processor that
    has stopped. A processor of an earlier version announces nothing.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time):
        self._wall_clock, self._lock = wall_clock, threading.Lock()
        self._seen: dict[str, WorkerSeen] = {}
        self._live: tuple[WorkerSeen, ...] = ()

    def reset(self, seen: Iterable[WorkerSeen]) -> None:
        """Forget what was added, and add `seen`."""
        with self._lock:
            self._seen = {worker.worker_id: worker for worker in seen}

    def add(self, seen: Iterable[WorkerSeen]) -> None:
        """Add announcements, in the order in which the topic has them."""
        with self._lock:
            self._seen.update((worker.worker_id, worker) for worker in seen)

    def live(self) -> tuple[WorkerSeen, ...]:
        """Return the announcements that count, by `worker_id`. While they are the same, so is the tuple."""
        now_s = self._wall_clock()
        with self._lock:
            self._seen = {name: one for name, one in self._seen.items() if one.at >= now_s - MAX_AGE_S}
            found = [one for one in self._seen.values() if not one.stopped and one.at <= now_s + MAX_AGE_S]
            found.sort(key=lambda worker: worker.worker_id)
            if len(found) != len(self._live) or any(
                a is not b for a, b in zip(found, self._live, strict=True)
            ):
                self._live = tuple(found)
            return self._live
