"""What the api asks of its view: tasks as they are known here, and to wait where that may be too little."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from kafka.errors import KafkaError

from api.view.backlog import Backlog
from api.view.changes import Changes, TaskWatch
from api.view.feed import Feed, source
from api.view.read_position import ReadPosition
from api.view.reader import Query, QueuePlace, Reader
from api.view.store import Store
from api.view.topic_ends import TopicEnds, ends_client
from common.observability.health import Check
from common.settings.schema import ApiSettings
from common.tasks.messages import DeliveryAttempt, Status

T = TypeVar("T")

_READER_THREADS = 4
_PATIENCE_S = 5.0
_STANDS_STILL_S = 75.0


class ViewUnavailable(Exception):
    """What is known here is not enough to answer."""


class TaskView(Protocol):
    """Every method that asks raises ViewUnavailable."""

    async def start(self) -> None: ...

    @property
    def is_current(self) -> bool:
        """It has caught up, and is fed."""

    @property
    def backlog(self) -> Backlog: ...

    async def find(
        self, task_uuid: UUID, patience_s: float | None = None, user: str | None = None
    ) -> Status | None:
        """None for certain: what was confirmed to a client anywhere before the call is found.

        With a `user` a task of another is not found, and takes exactly the steps of one that is not there.
        """

    async def page(self, query: Query) -> list[Status]: ...

    async def deliveries(self, task_uuid: UUID) -> list[DeliveryAttempt]: ...

    async def queue_place(self, queued_at: float) -> QueuePlace:
        """That of a task which is in the queue since then (seconds since the epoch)."""

    async def room_s(self, user: str | None, count: int) -> float | None:
        """About how long until `count` of the queued tasks, of `user` or of all, are taken.

        None where nobody can tell.
        """

    def watch(self, task_uuid: UUID) -> AbstractContextManager[TaskWatch]:
        """Hears of what is told of the task from now on, and when `is_ending`."""

    @property
    def is_ending(self) -> bool:
        """The service stops: nobody may go on watching."""

    def check(self) -> Check: ...

    async def close(self) -> None: ...


class KafkaView:
    """A TaskView on a file that is fed from Kafka."""

    def __init__(
        self,
        reader: Reader,
        read_position: ReadPosition,
        changes: Changes,
        feed: Feed,
        ends: TopicEnds,
        backlog: Backlog,
        patience_s: float = _PATIENCE_S,
    ):
        self._reader, self._read_position, self._changes = reader, read_position, changes
        self._feed, self._ends, self._patience_s = feed, ends, patience_s
        self.backlog = backlog
        self._threads = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="view-read")
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_settings(cls, settings: ApiSettings, skipped: Callable[[str], None] = lambda kind: None) -> Self:
        """`skipped` hears of each record that was passed over. Raises OSError for an unusable VIEW_FILE."""
        read_position, changes, backlog = ReadPosition(), Changes(), Backlog()
        store, reader = Store(settings.view_file, backlog), Reader(settings.view_file)
        feed = Feed(
            settings, store, reader, read_position, changes, lambda: source(settings), skipped=skipped
        )
        ends = TopicEnds(lambda: ends_client(settings), settings.kafka_task_topic)
        return cls(reader, read_position, changes, feed, ends, backlog)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._feed.start()

    def check(self) -> Check:
        """Ok, also while it is not fed, since tasks can be submitted; not once that goes on for a minute."""
        if self._read_position.silent_s > _STANDS_STILL_S:
            why = self._feed.reason or "nothing is read"
            return Check(False, f"not fed for {self._read_position.silent_s:.0f} s: {why}")
        if self._feed.reason:
            return Check(True, f"not fed: {self._feed.reason}")
        if self._read_position.caught_up:
            return Check(True, "caught up")
        return Check(True, f"catching up: {self._read_position.behind} records behind")

    @property
    def is_current(self) -> bool:
        return not self._feed.reason and self._read_position.caught_up

    async def find(
        self, task_uuid: UUID, patience_s: float | None = None, user: str | None = None
    ) -> Status | None:
        try:
            async with asyncio.timeout(patience_s or self._patience_s):
                await self._catch_up()
                found = await self._ask(self._reader.find, task_uuid, user)
                if found is None:
                    await self._read_position.wait_for(await self._ends.now())
                    found = await self._ask(self._reader.find, task_uuid, user)
                return found
        except TimeoutError:
            raise ViewUnavailable(self._why()) from None
        except KafkaError as error:
            raise ViewUnavailable(f"Kafka does not answer: {error}") from None

    async def page(self, query: Query) -> list[Status]:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._catch_up()
        except TimeoutError:
            raise ViewUnavailable(self._why()) from None
        return await self._ask(self._reader.page, query)

    async def deliveries(self, task_uuid: UUID) -> list[DeliveryAttempt]:
        return await self._ask(self._reader.deliveries, task_uuid)

    async def queue_place(self, queued_at: float) -> QueuePlace:
        return await self._ask(self._reader.queue_place, queued_at)

    async def room_s(self, user: str | None, count: int) -> float | None:
        return await self._ask(self._reader.room_s, user, count)

    def watch(self, task_uuid: UUID) -> AbstractContextManager[TaskWatch]:
        return self._changes.watch(task_uuid)

    @property
    def is_ending(self) -> bool:
        return self._changes.ended

    def end_watching(self) -> None:
        """Also from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changes.end)

    async def close(self) -> None:
        self._changes.end()
        await asyncio.to_thread(self._feed.stop)
        self._ends.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _catch_up(self) -> None:
        if not self._read_position.caught_up:
            await self._read_position.wait_until_caught_up()

    async def _ask(self, question: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, *arguments)
        except sqlite3.Error as error:
            raise ViewUnavailable(f"The view cannot be read: {error}") from error

    def _why(self) -> str:
        return self._feed.reason or f"{self._read_position.behind} records are still to be read"
