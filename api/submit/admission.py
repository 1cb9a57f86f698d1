"""Admits tasks: once for each Idempotency-Key, and only while there is room in the queue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto
from functools import partial
from typing import NoReturn
from uuid import UUID
from weakref import WeakValueDictionary

from api.limits.quotas import Quotas, later, retry_after_s
from api.metrics import ApiMetrics, TaskRefusal
from api.offers.checking import Offers
from api.problems import ProblemError
from api.publishing.publisher import NotSent, TaskPublisher
from api.submit.earlier import EarlierSubmissions
from api.submit.songs import Songs
from api.submit.submission import song_of
from api.uploads.gate import UploadGate
from api.view.task_view import TaskView, ViewUnavailable
from common.failpoint import Failpoint
from common.settings.schema import ApiSettings
from common.tasks.messages import Status, Task

# How long to look for an earlier request. It need not be found: the uploader merges both tasks anyway.
_PATIENCE_S = 1.0


class Admitted(Enum):
    """Says when a task was queued. `BEFORE`: by an earlier request with the same key."""

    NOW = auto()
    BEFORE = auto()


class Admission:
    """Admits tasks, in one event loop at a time. It refuses nothing while the view is not up to date."""

    def __init__(
        self,
        settings: ApiSettings,
        publisher: TaskPublisher,
        view: TaskView,
        metrics: ApiMetrics,
        offers: Offers,
        uploads: UploadGate,
        quotas: Quotas,
    ):
        self._publisher, self._view, self._metrics, self._offers = publisher, view, metrics, offers
        self._max_of_all, self._max_of_user = settings.max_queued_tasks, settings.max_queued_tasks_per_user
        self._quotas = quotas
        self.songs, self.earlier = Songs(uploads), EarlierSubmissions(uploads, metrics)
        self._key_locks = KeyLocks(settings.kafka_ack_timeout_s)

    async def admit(self, task: Task, digest_with: Callable[[str], str]) -> Admitted:
        """Return once the task is safely queued. Raise ProblemError, PublisherUnavailable.

        `digest_with` returns the digest that the submission would have with another song.
        """
        self.check_priority(task)
        if task.idempotency_key is None:
            await self._publish_if_room(task)
            return Admitted.NOW
        # One request at a time for each key: the second of two simultaneous ones finds the first one's task.
        async with self._key_locks.take(task.task_uuid):
            try:
                first = await self._first(task.task_uuid)
            except ViewUnavailable:
                # This may be a repeated request, which is never refused for lack of room.
                await self._publish(task)
                return Admitted.NOW
            if first is None:
                await self._publish_if_room(task)
                return Admitted.NOW
            look_closer = partial(self._has_same_song, task, first, digest_with)
            await self.earlier.compare(first, task.submission_digest, look_closer)
            return Admitted.BEFORE

    async def _first(self, task_uuid: UUID) -> Status | None:
        if not self._view.is_current:
            raise ViewUnavailable
        return await self._view.find(task_uuid, _PATIENCE_S)

    async def _has_same_song(self, task: Task, first: Status, digest_with: Callable[[str], str]) -> bool:
        """Return whether both are the same but for the id of the uploaded song."""
        sha256 = await self.earlier.sha256_of(task.user, task.audio)
        if sha256 is None:
            return False
        if first.submission_digest == digest_with(song_of(sha256)):  # the first song came with a form
            return True
        if first.audio is None or first.submission_digest != digest_with(first.audio):
            return False
        return await self.earlier.are_same(task.user, [task.audio], [first.audio])

    async def _publish_if_room(self, task: Task) -> None:
        await self.check_audio(task.user)
        if self._view.is_current:
            self.check_choices(task)
            await self.check_room(task.user)
        # No `await` between the check and `enter`: other requests of a burst would find the same room.
        await self._publish(task)

    def check_priority(self, task: Task) -> None:
        """Raise ProblemError 403 for a priority above the user's ceiling."""
        self._quotas.check_priority(task.user, task.priority)

    async def check_audio(self, user: str) -> None:
        """Raise ProblemError 429 if the user's audio of the day is used up."""
        await self._quotas.check_audio(user)

    def check_choices(self, task: Task) -> None:
        """Raise ProblemError if no processor has what the task chooses."""
        if task.choices is not None:
            self._offers.check(task.choices, self._view.workers.live())

    async def check_room(self, user: str, count: int = 1) -> None:
        """Raise ProblemError 429 if there is no room for `count` further tasks of `user` in the queue."""
        if (running := self._quotas.running_excess(user, count)) is not None:
            raise await self._quotas.refused(user, running, count)
        queued = self._view.backlog.queued(user)
        most, callbacks = self._max_of_user, queued.callbacks_of_user
        if most and queued.of_user + callbacks + count > most:
            waiting = _in_queue(queued.of_user)
            waiting += f" and {callbacks} that wait for their callback" if callbacks else ""
            others = queued.of_user + callbacks
            what = f"You have {waiting}"
            await self._refuse(TaskRefusal.TOO_MANY_QUEUED_BY_USER, user, what, others, count, most)
        most = self._max_of_all
        if most and queued.of_all + count > most:
            what = f"There {'is' if queued.of_all == 1 else 'are'} {_in_queue(queued.of_all)}"
            await self._refuse(TaskRefusal.TOO_MANY_QUEUED, None, what, queued.of_all, count, most)

    async def _publish(self, task: Task) -> None:
        self._view.backlog.enter(task.task_uuid, task.user)
        try:
            async with self.songs.kept([task], task.idempotency_key is not None) as (ready,):
                await self._publisher.publish(ready)
        except BaseException:
            self._view.backlog.leave(task.task_uuid)
            raise
        Failpoint.API_ACKNOWLEDGED.reach()

    async def _refuse(
        self, refusal: TaskRefusal, user: str | None, what: str, others: int, count: int, most: int
    ) -> NoReturn:
        """Raise the problem of `count` tasks for which the `others` leave no room."""
        self._metrics.task_refused(refusal)
        try:
            room_s = await self._view.room_s(user, others + count - most)
        except ViewUnavailable:
            room_s = None
        raise ProblemError(
            429,
            f"{what}, and {_allowed(most)}; {later(count, most)}",
            error_code=refusal,
            headers={"Retry-After": str(retry_after_s(room_s))},
        )


def _allowed(most: int) -> str:
    return f"{most} {'is' if most == 1 else 'are'} allowed"


def _in_queue(count: int) -> str:
    return f"{count} {'task' if count == 1 else 'tasks'} in the queue"


class KeyLocks:
    """Gives one lock for each key. A lock exists only while somebody holds it or waits for it."""

    def __init__(self, patience_s: float):
        self._patience_s = patience_s
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, key: UUID) -> AsyncIterator[None]:
        """Hold the lock of `key`. Raise NotSent if that takes too long."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(self._patience_s):
                await lock.acquire()
        except TimeoutError:
            raise NotSent("an earlier request of the same key is not confirmed yet") from None
        try:
            yield
        finally:
            lock.release()
