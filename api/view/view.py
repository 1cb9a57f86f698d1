"""Answers the api's questions about tasks, and waits while the view may not have read enough yet."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, TypeVar
from uuid import UUID

from kafka.errors import KafkaError

from api.view.backlog import Backlog
from api.view.changes import Changes, TaskWatch
from api.view.feed import Feed, source
from api.view.file_errors import is_damage
from api.view.long_questions import LongQuestions
from api.view.query import Query
from api.view.read_position import ReadPosition
from api.view.reader import QueuePlace, Reader
from api.view.store import Store
from api.view.task_view import ViewUnavailable
from api.view.time_limit import MachineBusy, TooMuchToRead
from api.view.topic_ends import TopicEnds, ends_client
from api.view.usage import DayUsage, UsageQuery
from api.view.workers import AnnouncedWorkers
from common.kafka import lanes
from common.observability.health import Check
from common.settings.schema import ApiSettings
from common.tasks.messages import DeliveryAttempt, State, Status, TaskBatch, WorkerSeen

T = TypeVar("T")

_READER_THREADS = 4
_PATIENCE_S = 5.0
_STANDS_STILL_S = 75.0
# What a request can wait for, for people.
_BUSY, _NO_ENDS = "other requests are still being answered", "Kafka has not answered in time"
_BEHIND = "the latest records are still to be read"
# Of CPU time. An ordinary search takes 0.1 s for 300,000 tasks. A count may read all of them.
_SEARCH_S, _COUNT_S = 2.0, 10.0


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
        workers: AnnouncedWorkers,
        patience_s: float = _PATIENCE_S,
    ):
        self._reader, self._read_position, self._changes = reader, read_position, changes
        self._feed, self._ends, self._patience_s = feed, ends, patience_s
        self.backlog, self.workers = backlog, workers
        self._threads = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="view-read")
        self._long = LongQuestions(reader, patience_s)
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_settings(
        cls,
        settings: ApiSettings,
        skipped: Callable[[str], None] = lambda kind: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> Self:
        """`skipped` is called for each skipped record. Raise OSError for an unusable VIEW_FILE."""
        read_position, changes, backlog = ReadPosition(), Changes(), Backlog()
        workers = AnnouncedWorkers(wall_clock)
        store, reader = Store(settings.view_file, backlog, workers), Reader(settings.view_file)
        feed = Feed(
            settings, store, reader, read_position, changes, lambda: source(settings), skipped=skipped
        )
        submitted = (*lanes.topics(settings.kafka_task_topic), settings.kafka_batch_topic)
        ends = TopicEnds(lambda: ends_client(settings), submitted)
        return cls(reader, read_position, changes, feed, ends, backlog, workers)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._feed.start()

    def check(self) -> Check:
        """Report ok even while the view is not fed, because tasks can be submitted: but only for a minute."""
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
        return await self._found(self._reader.find, task_uuid, patience_s, user)

    async def find_batch(
        self, batch_uuid: UUID, patience_s: float | None = None, user: str | None = None
    ) -> TaskBatch | None:
        return await self._found(self._reader.batch, batch_uuid, patience_s, user)

    async def open_batches(self) -> list[TaskBatch]:
        return await self._ask(self._reader.open_batches)

    async def statuses(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, Status]:
        return await self._ask(self._reader.statuses, task_uuids)

    async def states(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, State]:
        return await self._ask(self._reader.states, task_uuids)

    async def _found(
        self,
        find: Callable[[UUID, str | None], T | None],
        wanted: UUID,
        patience_s: float | None,
        user: str | None,
    ) -> T | None:
        waits_for = _BEHIND
        try:
            async with asyncio.timeout(patience_s or self._patience_s):
                await self._catch_up()
                waits_for = _BUSY
                found = await self._ask(find, wanted, user)
                if found is None:
                    waits_for = _NO_ENDS
                    ends = await self._ends.now()
                    waits_for = _BEHIND
                    await self._read_position.wait_for(ends)
                    waits_for = _BUSY
                    found = await self._ask(find, wanted, user)
                return found
        except TimeoutError:
            raise ViewUnavailable(self._why(waits_for)) from None
        except KafkaError as error:
            raise ViewUnavailable(f"Kafka does not answer: {error}") from None

    async def page(self, query: Query) -> list[Status]:
        await self._catch_up_in_time()
        if query.is_long:
            return await self._ask_long(query.user, _SEARCH_S, self._reader.page, query)
        return await self._ask(self._reader.page, query)

    async def announced(self) -> tuple[WorkerSeen, ...]:
        await self._catch_up_in_time()
        return self.workers.live()

    async def deliveries(self, task_uuid: UUID) -> list[DeliveryAttempt]:
        return await self._ask(self._reader.deliveries, task_uuid)

    async def queue_place(self, queued_at: float, priority: int) -> QueuePlace:
        return await self._ask(self._reader.queue_place, queued_at, priority)

    async def room_s(self, user: str | None, count: int) -> float | None:
        return await self._ask(self._reader.room_s, user, count)

    async def results_space(self, user: str | None) -> list[tuple[str, int, int]]:
        await self._catch_up_in_time()
        return await self._count(user, self._reader.results_space, user)

    async def ask(self, question: Callable[[Reader], T]) -> T:
        await self._catch_up_in_time()
        return await self._count(None, question, self._reader)

    async def usage(self, query: UsageQuery) -> list[DayUsage]:
        await self._catch_up_in_time()
        return await self._count(query.user, self._reader.usage, query)

    async def audio_s_since(self, user: str, since: float) -> float:
        return await self._ask(self._reader.audio_s_since, user, since)

    def watch(self, task_uuid: UUID) -> AbstractContextManager[TaskWatch]:
        return self._changes.watch(task_uuid)

    @property
    def is_ending(self) -> bool:
        return self._changes.ended

    def end_watching(self) -> None:
        """End all watches. May be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changes.end)

    async def close(self) -> None:
        self._changes.end()
        await asyncio.to_thread(self._feed.stop)
        self._ends.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._long.close()

    async def _catch_up_in_time(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._catch_up()
        except TimeoutError:
            raise ViewUnavailable(self._why(_BEHIND)) from None

    async def _catch_up(self) -> None:
        if not self._read_position.caught_up:
            await self._read_position.wait_until_caught_up()

    async def _ask(self, question: Callable[..., T], *arguments: Any) -> T:
        with self._file_is_read():
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, *arguments)

    async def _count(self, user: str | None, question: Callable[..., T], *arguments: Any) -> T:
        try:
            return await self._ask_long(user, _COUNT_S, question, *arguments)
        except TooMuchToRead as error:  # unlike a search, a count cannot ask for less
            raise ViewUnavailable(f"there is much to count, and {error}") from None

    async def _ask_long(
        self, user: str | None, cpu_s: float, question: Callable[..., T], *arguments: Any
    ) -> T:
        try:
            with self._file_is_read():
                return await self._long.ask(user, cpu_s, question, *arguments)
        except MachineBusy as error:
            raise ViewUnavailable(str(error)) from None
        except TimeoutError:
            raise ViewUnavailable("earlier searches are still being answered") from None

    @contextmanager
    def _file_is_read(self) -> Iterator[None]:
        """Raise ViewUnavailable where the file cannot be read. Report damage, for the feed to repair."""
        file = self._feed.repair.file
        try:
            yield
        except sqlite3.Error as error:
            if is_damaged := is_damage(error):
                self._feed.repair.report(file)
            why = "its file is damaged" if is_damaged else error  # which quotes a damaged text
            raise ViewUnavailable(f"The view cannot be read: {why}") from error

    def _why(self, waits_for: str) -> str:
        if self._feed.reason:
            return self._feed.reason
        if self._read_position.caught_up:
            return waits_for
        return f"{self._read_position.behind} records are still to be read"
