"""The questions that the api asks about tasks, whoever answers them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar
from uuid import UUID

from api.view.backlog import Backlog
from api.view.batch_view import BatchView
from api.view.changes import TaskWatch
from api.view.query import Query
from api.view.reader import QueuePlace, Reader
from api.view.usage import DayUsage, UsageQuery
from api.view.workers import AnnouncedWorkers
from common.observability.health import Check
from common.tasks.messages import DeliveryAttempt, Status, WorkerSeen

T = TypeVar("T")


class ViewUnavailable(Exception):
    """The view has not read enough to answer."""


class TaskView(BatchView, Protocol):
    """The state of all tasks. Every coroutine that reads raises ViewUnavailable."""

    async def start(self) -> None: ...

    @property
    def is_current(self) -> bool:
        """True while the view has caught up and is fed."""

    @property
    def backlog(self) -> Backlog: ...

    @property
    def workers(self) -> AnnouncedWorkers:
        """The processors, as far as the view has read their announcements: ask `announced` for certainty."""

    async def announced(self) -> tuple[WorkerSeen, ...]:
        """Return the announcements that count now, once the view has caught up."""

    async def find(
        self, task_uuid: UUID, patience_s: float | None = None, user: str | None = None
    ) -> Status | None:
        """Return the task's status, or None if there is no such task.

        None is certain: a task that any api has confirmed before this call is found. With a `user`, a task of
        another user is not found, in exactly the same steps as a task that does not exist.
        """

    async def page(self, query: Query) -> list[Status]: ...

    async def deliveries(self, task_uuid: UUID) -> list[DeliveryAttempt]: ...

    async def queue_place(self, queued_at: float, priority: int) -> QueuePlace:
        """Return the place of a task that has been queued since `queued_at` (seconds since the epoch)."""

    async def room_s(self, user: str | None, count: int) -> float | None:
        """Estimate the seconds until `count` of the queued tasks, of `user` or of all, are taken.

        None stands for no estimate.
        """

    async def results_space(self, user: str | None) -> list[tuple[str, int, int]]:
        """Return each user, or one alone, with how many tasks have stems, and the stems' bytes."""

    async def ask(self, question: Callable[[Reader], T]) -> T:
        """Return the answer of `question`, which is asked in a thread once the view has caught up."""

    async def usage(self, query: UsageQuery) -> list[DayUsage]:
        """Return what was separated, by user, day and model, in this order."""

    async def audio_s_since(self, user: str, since: float) -> float:
        """Return the seconds of audio in the user's songs that were submitted since then and separated."""

    def watch(self, task_uuid: UUID) -> AbstractContextManager[TaskWatch]:
        """Collect the task's changes from now on, and the end of the service."""

    @property
    def is_ending(self) -> bool:
        """True once the service stops: no request may go on watching."""

    def check(self) -> Check: ...

    async def close(self) -> None: ...
