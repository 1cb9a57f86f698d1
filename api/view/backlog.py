"""Counts the tasks that are queued, that wait for their callback, and that are on their way into the view."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

# A task that the view has not read by then will not come: the topic was created anew.
_ON_THE_WAY_S = 60.0


@dataclass(frozen=True)
class Queued:
    """Numbers of tasks that wait for a processor, for the first time or for a retry.

    `callbacks_of_user` is the number of the user's tasks that wait for their callback.
    """

    of_user: int
    of_all: int
    callbacks_of_user: int = 0


@dataclass(frozen=True)
class _Coming:
    user: str
    since_s: float


class Backlog:
    """Keeps the numbers in memory, so that no request has to count rows. Safe for several threads.

    A published task counts from `enter` on, before the view has read it. Otherwise a burst would pass every
    limit before the view has read its first task.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._stored: Counter[str] = Counter()
        self._stored_of_all = 0
        self._callbacks: Counter[str] = Counter()
        self._working: Counter[str] = Counter()
        self._coming: dict[UUID, _Coming] = {}
        self._coming_by_user: Counter[str] = Counter()

    def reset(
        self, stored: Mapping[str, int], callbacks: Mapping[str, int], working: Mapping[str, int]
    ) -> None:
        """Set the numbers of the view's tasks by user: queued (`stored`), waiting for their callback, and
        being worked on (`working`)."""
        with self._lock:
            self._working = Counter(working)
            self._callbacks = Counter(callbacks)
            self._stored = Counter(stored)
            self._stored_of_all = self._stored.total()

    def change(
        self,
        moved: Mapping[str, int],
        seen: Iterable[UUID],
        callbacks: Mapping[str, int],
        working: Mapping[str, int],
    ) -> None:
        """Add `moved` to the numbers of queued tasks, `callbacks` to those that wait for a callback, and
        `working` to those that are being worked on.

        `seen` are tasks that the view knows from now on.
        """
        with self._lock:
            self._working.update(working)
            self._working += Counter()
            self._callbacks.update(callbacks)
            self._callbacks += Counter()  # drops the users who have none
            for user, count in moved.items():
                self._stored[user] += count
                self._stored_of_all += count
                if not self._stored[user]:
                    del self._stored[user]
            for task_uuid in seen:
                self._remove(task_uuid)

    def enter(self, task_uuid: UUID, user: str) -> None:
        """Count a task. Called before it is published: the view may read it before the publisher returns."""
        with self._lock:
            self._remove(task_uuid)
            self._coming[task_uuid] = _Coming(user, self._clock())
            self._coming_by_user[user] += 1

    def leave(self, task_uuid: UUID) -> None:
        """Count the task no longer: it could not be published."""
        with self._lock:
            self._remove(task_uuid)

    def queued(self, user: str) -> Queued:
        with self._lock:
            self._forget()
            return Queued(
                self._stored[user] + self._coming_by_user[user],
                self._stored_of_all + len(self._coming),
                self._callbacks[user],
            )

    def by_user(self) -> Counter[str]:
        """Return the numbers of queued tasks by user."""
        with self._lock:
            self._forget()
            return self._stored + self._coming_by_user

    def running(self, user: str) -> int:
        """Return the number of the user's tasks that are queued or being worked on."""
        with self._lock:
            self._forget()
            return self._stored[user] + self._coming_by_user[user] + self._working[user]

    def _remove(self, task_uuid: UUID) -> None:
        coming = self._coming.pop(task_uuid, None)
        if coming is not None:
            self._coming_by_user[coming.user] -= 1
            if not self._coming_by_user[coming.user]:
                del self._coming_by_user[coming.user]

    def _forget(self) -> None:
        before_s = self._clock() - _ON_THE_WAY_S
        # The dictionary keeps the order in which the tasks came.
        while self._coming and self._coming[first := next(iter(self._coming))].since_s < before_s:
            self._remove(first)
