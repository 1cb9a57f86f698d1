"""A damaged file of the view is made anew, whoever meets the damage; a sound one is kept."""

import asyncio
import contextlib
import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from kafka import TopicPartition

from api.view import tables
from api.view.backlog import Backlog
from api.view.changes import Changes
from api.view.feed import Feed
from api.view.query import Query
from api.view.read_position import ReadPosition
from api.view.reader import Reader
from api.view.records import Batch
from api.view.repair import EVERY_S, Repair
from api.view.store import Store
from api.view.task_view import ViewUnavailable
from api.view.view import KafkaView
from api.view.workers import AnnouncedWorkers
from common.settings.schema import KafkaSettings
from common.tasks.messages import DeliveryAttempt, State, Status, TaskBatch
from common.waiting import Backoff
from tests.support.api.announcements import worker
from tests.support.api.topics_in_memory import BATCHES, DELIVERIES, STATUSES, TASKS, WORKERS, Log, task
from tests.support.waiting import wait_for

ONE = UUID(int=1)
OFFSET = {TopicPartition("t", 0): 7}


class _Ends:
    async def now(self):
        return {}

    def close(self): ...


class View(KafkaView):
    """A view of topics in memory. `skipped` has the kinds of the records that it has passed over."""

    def __init__(self, path: Path, log: Log):
        read_position, changes, backlog, workers = ReadPosition(), Changes(), Backlog(), AnnouncedWorkers()
        store, reader = Store(path, backlog, workers), Reader(path)
        self.skipped: list[str] = []
        parts = (KafkaSettings(), store, reader, read_position, changes, log.connect)
        feed = Feed(*parts, skipped=self.skipped.append, backoff=Backoff(0.01, 0.1))
        super().__init__(reader, read_position, changes, feed, _Ends(), backlog, workers, patience_s=20.0)
        self.is_alive = feed._thread.is_alive

    def answers(self, name: str, *arguments):
        """Ask until there is an answer other than that the view cannot tell now."""

        async def answer():
            while True:
                with contextlib.suppress(ViewUnavailable):
                    return await getattr(self, name)(*arguments)
                await asyncio.sleep(0.02)

        return asyncio.run(asyncio.wait_for(answer(), 20))

    def knows(self, number: int) -> bool:
        return self.answers("find", UUID(int=number), 0.1) is not None


@pytest.fixture
def path(tmp_path):
    return tmp_path / "view.sqlite3"


@pytest.fixture
def log():
    log = Log()
    log.records[TASKS] = [task(number) for number in range(100)]
    return log


@pytest.fixture
def start(path, log):
    views: list[View] = []

    def begin() -> View:
        for view in views:
            asyncio.run(view.close())
        views.append(View(path, log))
        asyncio.run(views[-1].start())
        wait_for(lambda: views[-1]._read_position.caught_up, 20, "end of the topics")
        return views[-1]

    yield begin
    for view in views:
        asyncio.run(view.close())


def change(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


def damage_the_page_of(path: Path, task_uuid: UUID) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        page = file.read().index(f'"task_uuid":"{task_uuid}"'.encode()) // size
        file.seek(page * size)
        file.write(b"\xff" * size)


def test_damage_that_only_questions_meet_is_repaired(start, path, log):
    asyncio.run(start().close())
    damage_the_page_of(path, UUID(int=50))
    view = start()
    assert log.begins[-1] == 100, "the feed does not meet the damage"
    assert view.answers("find", UUID(int=50)).task_uuid.int == 50
    assert (log.begins[-1], len(view.answers("page", Query(limit=200)))) == (0, 100)


def test_damage_that_only_long_questions_meet_is_repaired(start, path):
    view = start()
    change(path, "UPDATE tasks SET status = x'00'")
    question = "ask", lambda reader: reader.statuses([ONE])
    wait_for(lambda: view.answers(*question).keys() == {ONE}, 20, "the task")


@pytest.mark.parametrize(
    ("sql", "question", "wanted"),
    [
        ("UPDATE tasks SET status = x'00'", "find", ONE),
        ("UPDATE tasks SET status = x'7b7d'", "find", ONE),
        ("UPDATE tasks SET status = 1", "find", ONE),
        ("UPDATE tasks SET state = 'odd'", "states", [ONE]),
        ("UPDATE tasks SET state = CAST(x'ff' AS TEXT)", "states", [ONE]),
        ("UPDATE deliveries SET delivery = '{}'", "deliveries", ONE),
        ("UPDATE batches SET batch = '{}'", "find_batch", ONE),
        ("UPDATE batches SET batch = '{}'", "open_batches", None),
    ],
)
def test_a_row_that_cannot_be_decoded_is_repaired(start, path, log, sql, question, wanted):
    fields = {"submitted_at": 9e9, "count": 1, "user": "admin"}
    log.records[BATCHES] = [TaskBatch(batch_uuid=ONE, hook_url="h", **fields).to_bytes()]
    fields = {"run": 1, "started_at": 9e9, "took_s": 1.0}
    log.records[DELIVERIES] = [
        DeliveryAttempt(task_uuid=ONE, hook_url="h", try_number=1, **fields).to_bytes()
    ]
    view, arguments = start(), [] if wanted is None else [wanted]
    before = view.answers(question, *arguments)
    change(path, sql)
    assert before
    # Some of these questions do not wait until the new file has all tasks.
    wait_for(lambda: view.answers(question, *arguments) == before, 20, "the same answer")
    assert log.begins == [0, 0]


def test_a_damaged_row_that_the_feed_meets_hides_no_record(start, path, log):
    view = start()
    change(path, "UPDATE tasks SET status = x'7b7d'")
    ended = Status(task_uuid=ONE, user="admin", submitted_at=9e9, at=9.5e9, state=State.FAILED)
    log.records[STATUSES].append(ended.to_bytes())
    wait_for(lambda: view.answers("states", [ONE]) == {ONE: State.FAILED}, 20, "the status")
    assert view.skipped == []


def test_damaged_offsets_are_repaired(start, path):
    asyncio.run(start().close())
    change(path, "UPDATE offsets SET next = 'odd'")
    assert start().knows(1)


def test_a_damaged_announcement_is_repaired_by_the_next_start(start, path, log):
    log.records[WORKERS] = [worker("a").to_bytes()]
    asyncio.run(start().close())
    change(path, "UPDATE workers SET announcement = x'00'")
    assert [one.worker_id for one in start().workers.live()] == ["a"]


def test_what_this_version_writes_and_cannot_read_has_the_view_made_anew_once(start, log, monkeypatch):
    pack = tables.pack
    monkeypatch.setattr(tables, "pack", lambda status: b"{}" if status.task_uuid == ONE else pack(status))
    view = start()
    with pytest.raises(ViewUnavailable, match="is damaged"):
        asyncio.run(view.find(ONE))
    wait_for(lambda: view._feed.repair.file == 2, 20, "another file")
    ended = Status(task_uuid=ONE, user="admin", submitted_at=9e9, at=9.5e9, state=State.FAILED)
    log.records[STATUSES].append(ended.to_bytes())
    for number in (100, 101, 102):
        wait_for(lambda: view._read_position.caught_up, 20, "end of the topics")
        with pytest.raises(ViewUnavailable, match="is damaged"):
            asyncio.run(view.find(ONE))
        log.records[TASKS].append(task(number))
        wait_for(lambda number=number: view.knows(number), 20, "the next task")
    assert (log.begins, view.skipped) == ([0, 0], ["statuses"])


def test_a_file_is_repaired_once_an_hour_at_most_and_a_late_report_is_of_no_other_file():
    now_s = 0.0
    repair = Repair(lambda: now_s)
    for file in range(2):
        repair.report(file)
        assert (repair.is_allowed, repair.is_due) == (True, True)
        repair.opened()
        assert (repair.is_allowed, repair.is_due) == (False, False)
        repair.report(file)
        repair.report(file + 1)
        assert not repair.is_due
        now_s += EVERY_S
        repair.report(file)
        assert not repair.is_due
    repair.opened()
    assert repair.is_allowed, "a file that was opened for another reason is no repair"


def test_a_damaged_file_that_cannot_be_removed_is_removed_later(start, path, monkeypatch):
    view, refusals, remove = start(), [], Store.remove

    def refuse(self):
        if len(refusals) < 2:
            refusals.append(self)
            raise OSError(errno.EBUSY, "Device or resource busy")
        remove(self)

    monkeypatch.setattr(Store, "remove", refuse)
    change(path, "UPDATE tasks SET status = x'7b7d'")
    assert view.answers("find", ONE).task_uuid == ONE
    assert (len(refusals), view.is_alive()) == (2, True)


def test_a_file_that_the_feed_finds_damaged_and_cannot_remove_is_removed_later(start, path, log, monkeypatch):
    view, refusals, remove = start(), [], Store.remove

    def refuse(self):
        if len(refusals) < 2:
            refusals.append(self)
            raise OSError(errno.EBUSY, "Device or resource busy")
        remove(self)

    monkeypatch.setattr(Store, "remove", refuse)
    log.errors.append(_corrupt())
    wait_for(lambda: len(log.begins) == 2, 20, "another file")
    assert (len(refusals), view.is_alive()) == (2, True)


def _corrupt() -> sqlite3.Error:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """Let this process write no file beyond 100 bytes: too few for what SQLite shares in WAL mode."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def descriptors_of(path: Path) -> list[str]:
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.islink(link)]
    return [name for name in found if name.startswith(str(path)) and not name.endswith(".lock")]


def test_a_file_that_cannot_be_opened_for_want_of_room_is_kept_and_closed(path):
    store = Store(path)
    store.open("here")
    store.apply(Batch(offsets=OFFSET))
    store.close_file()
    for _ in range(2):
        with no_room(), pytest.raises(sqlite3.OperationalError) as raised:
            store.open("here")
        # The error's traceback holds what is open.
        assert (raised.value.sqlite_errorcode & 0xFF, descriptors_of(path)) == (sqlite3.SQLITE_IOERR, [])
    store.open("here")
    assert store.offsets() == OFFSET
    store.close()


def test_a_file_without_its_tables_is_made_anew(path):
    store = Store(path)
    store.open("here")
    store.apply(Batch(offsets=OFFSET))
    for table in ("origin", "workers"):
        change(path, f"DROP TABLE {table}")
        store.open("here")
        assert store.offsets() == {}
    store.close()
