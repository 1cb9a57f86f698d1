"""The feed: from where the file says, past what is no message, and afresh when the topics are others."""

import asyncio
import contextlib
import json
import sqlite3
from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from api.view.changes import Changes
from api.view.feed import _LONG_REST_S, _MANY_RECORDS, _REST_S, Feed
from api.view.query import Query
from api.view.read_position import ReadPosition
from api.view.reader import Reader
from api.view.store import Store
from api.view.workers import AnnouncedWorkers
from common.settings.schema import KafkaSettings
from tests.support.api.announcements import worker
from tests.support.api.topics_in_memory import (
    DELIVERIES,
    OTHER_LANES,
    STATUSES,
    TASKS,
    WORKERS,
    Log,
    Source,
    task,
)
from tests.support.waiting import wait_for


@pytest.fixture
def path(tmp_path):
    return tmp_path / "view.sqlite3"


@pytest.fixture
def feeds():
    feeds: list[Feed] = []
    yield feeds
    for feed in feeds:
        feed.stop()


@pytest.fixture
def start(path, feeds):
    def begin(
        log: Log, skipped: list[str] | None = None, workers: AnnouncedWorkers | None = None
    ) -> ReadPosition:
        for feed in feeds:
            feed.stop()
        read_position = ReadPosition()
        counted = skipped.append if skipped is not None else lambda kind: None
        store = Store(path, workers=workers)
        parts = (KafkaSettings(), store, Reader(path), read_position, Changes(), log.connect)
        feeds.append(Feed(*parts, skipped=counted))
        feeds[-1].start()
        wait_for(lambda: read_position.caught_up, 20, "end of the topics")
        return read_position

    return begin


def known(path) -> list[int]:
    return sorted(status.task_uuid.int for status in Reader(path).page(Query(limit=200)))


def test_what_is_no_message_is_passed_over(start, path):
    log = Log()
    log.records[TASKS] = [task(1), b"\xff", b'{"schema_version": 9}', task(2)]
    log.records[TopicPartition("uvr_status", 0)] = [b"{}"]
    start(log)
    assert known(path) == [1, 2]


def test_the_tasks_of_all_lanes_are_read(start, path):
    log = Log()
    for number, topic in enumerate(("uvr_tasks", *OTHER_LANES)):
        log.records[TopicPartition(topic, 0)] = [task(number)]
    start(log)
    assert known(path) == [0, 1, 2, 3, 4]


def test_odd_records_are_passed_over_and_counted_and_hide_no_other(start, path):
    log, skipped = Log(), []
    status = {"task_uuid": str(UUID(int=1)), "submitted_at": 1.0, "state": "failed"}
    delivery = {"task_uuid": str(UUID(int=1)), "hook_url": "h", "try_number": 1, "took_s": 1}
    odd = [status | {"at": at} for at in (1.7e308, 1.6e308)] + [status | {"at": 1.0, "run": 10**9}]
    log.records[TASKS] = [task(1), task(2)]
    log.records[STATUSES] = [json.dumps(fields).encode() for fields in odd]
    log.records[DELIVERIES] = [json.dumps(delivery | {"run": 2**63, "started_at": 1.0}).encode()]
    log.records[WORKERS] = [b"{}", worker("a").to_bytes(), b'{"worker_id": "a"}', None]
    start(log, skipped)
    assert known(path) == [1, 2]
    assert sorted(skipped) == ["deliveries", *["statuses"] * 3, *["workers"] * 3]


def test_announcements_are_read_from_the_beginning_and_the_last_one_counts(start, path):
    log = Log()
    log.records[WORKERS] = [worker("a", running=n).to_bytes() for n in range(3)] + [b"odd"]
    workers = AnnouncedWorkers()
    start(log, workers=workers)
    assert [one.running for one in workers.live()] == [2]


def test_a_record_that_the_file_does_not_take_is_passed_over_alone(start, path, monkeypatch):
    """Whatever the bounds have missed."""
    apply = Store.apply

    def strict(self, batch):
        if any(status.task_uuid.int == 2 for status in batch.statuses):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return apply(self, batch)

    monkeypatch.setattr(Store, "apply", strict)
    log, skipped = Log(), []
    log.records[TASKS] = [task(1), task(2), task(3)]
    start(log, skipped)
    assert known(path) == [1, 3]
    assert skipped == ["statuses"]
    start(log)
    assert log.begins[-1] == 3


@pytest.mark.parametrize("part", ["tasks", "tasks_by_user_and_state"])
def test_a_file_that_turns_out_to_be_damaged_is_read_again_from_the_topics(start, feeds, path, part):
    log = Log()
    log.records[TASKS] = [task(1), task(2)]
    start(log)
    feeds[-1].stop()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        root = "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = ?"
        page, size = connection.execute(root, (part,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    log.records[TASKS].append(task(3))
    start(log)
    assert known(path) == [1, 2, 3]


def test_a_feed_that_stands_still_is_seen_by_its_read_position():
    now_s = 0.0
    read_position = ReadPosition(lambda: now_s)
    now_s = 1000.0
    assert read_position.silent_s == 0.0  # it has not begun
    read_position.heard()
    now_s = 1075.0
    assert read_position.silent_s == 75.0
    read_position.heard()
    assert read_position.silent_s == 0.0


def test_a_partition_that_gives_nothing_is_noticed_though_others_go_on(path):
    """Looks are made by hand here: no test waits for half a minute."""
    now_s, log = 0.0, Log()
    read_position, source = ReadPosition(lambda: now_s), Source(log)
    feed = Feed(KafkaSettings(), Store(path), Reader(path), read_position, Changes(), log.connect)
    partitions = [TASKS, STATUSES, DELIVERIES]
    feed._begin(source, partitions)
    feed.reason = ""
    source.muted = {STATUSES}
    for now_s in (30.0, 60.0, 90.0):
        for partition in (TASKS, STATUSES):
            log.records[partition].append(task(int(now_s)))
        feed._read(source, partitions)
        feed._look(source, partitions)
    assert (read_position.silent_s, feed.reason) == (30.0, "nothing is read of uvr_status/0")
    source.muted = set()
    feed._read(source, partitions)
    feed._look(source, partitions)
    assert (read_position.silent_s, feed.reason) == (0.0, "")
    feed.stop()


def test_a_second_feed_reads_on_where_the_first_was(start, path):
    log = Log()
    log.records[TASKS] = [task(1), task(2)]
    start(log)
    log.records[TASKS].append(task(3))
    start(log)
    first, second = log.begins
    assert (first, second >= 2) == (0, True)  # the first may have read the third too, before it was stopped
    assert known(path) == [1, 2, 3]


def test_after_an_error_it_goes_on_where_it_was(start, path):
    log = Log()
    log.errors.append(KafkaConnectionError("away"))
    log.records[TASKS] = [task(1)]
    start(log)
    assert known(path) == [1]


def test_topics_that_are_shorter_than_what_was_read_are_others(start, path):
    log = Log()
    log.records[TASKS] = [task(1), task(2)]
    start(log)
    again = Log()
    again.records[TASKS] = [task(3)]
    start(again)
    assert known(path) == [3]


@pytest.mark.parametrize(("retention_days", "is_kept"), [(7, False), (60, True)])
def test_a_task_is_known_for_as_long_as_kafka_keeps_its_status(path, retention_days, is_kept):
    day_s, log, read_position = 86400.0, Log(), ReadPosition()
    log.records[TASKS] = [task(1)]
    settings = KafkaSettings(kafka_retention_ms=round(retention_days * day_s * 1000))
    for _ in range(2):  # what a file holds is pruned before it is read on
        parts = (settings, Store(path), Reader(path), read_position, Changes(), log.connect)
        feed = Feed(*parts, wall_clock=lambda: 9e9 + 40 * day_s)
        feed.start()
        wait_for(lambda: read_position.caught_up, 20, "end of the topics")
        feed.stop()
    assert (Reader(path).find(UUID(int=1)) is not None) == is_kept


@pytest.mark.parametrize(
    ("count", "is_watched", "rest_s"),
    [(1, False, _REST_S), (_MANY_RECORDS, False, _LONG_REST_S), (_MANY_RECORDS, True, _REST_S)],
)
def test_rests_are_long_only_under_load_while_nobody_watches(path, count, is_watched, rest_s):
    log, changes, read_position, rests = Log(), Changes(), ReadPosition(), []
    read_position.rest = rests.append
    log.records[TASKS] = [task(number) for number in range(count)]

    async def read() -> None:
        with changes.watch(UUID(int=1)) if is_watched else contextlib.nullcontext():
            feed = Feed(KafkaSettings(), Store(path), Reader(path), read_position, changes, log.connect)
            feed.start()
            await asyncio.to_thread(wait_for, lambda: rests, 20, "rest")
            await asyncio.to_thread(feed.stop)

    asyncio.run(read())
    assert rests == [rest_s]
