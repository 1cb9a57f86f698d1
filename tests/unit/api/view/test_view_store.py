"""The view's file: made anew when it cannot be used, changed as a whole, and read in pages."""

import sqlite3
import time
from pathlib import Path
from uuid import UUID

import pytest
from kafka import TopicPartition

from api.view import statistics
from api.view.query import Position, Query
from api.view.reader import Reader
from api.view.records import Batch
from api.view.store import _ASKED_AT_ONCE, Store
from common.tasks.messages import DeliveryAttempt, State, Status

WEEK_S = 7 * 24 * 3600


@pytest.fixture
def path(tmp_path):
    return tmp_path / "view" / "view.sqlite3"


@pytest.fixture
def store(path):
    store = Store(path)
    store.open("here")
    yield store
    store.close()


def status(number: int, **fields) -> Status:
    given = {
        "task_uuid": UUID(int=number),
        "user": "alice",
        "submitted_at": float(number),
        "at": float(number),
    }
    return Status(**given | {"state": State.QUEUED} | fields)


def delivery(number: int, **fields) -> DeliveryAttempt:
    given = {"task_uuid": UUID(int=number), "run": 1, "hook_url": "h", "try_number": 1, "took_s": 0.1}
    return DeliveryAttempt(**given | {"started_at": 1.0} | fields)


def ids(statuses) -> list[int]:
    return [s.task_uuid.int for s in statuses]


def test_a_store_that_is_opened_again_is_where_it_was(store, path):
    offsets = {TopicPartition("tasks", 1): 7}
    assert store.apply(Batch([status(1)], [delivery(1)], offsets)) == [status(1)]
    store.open("here")
    assert store.offsets() == offsets
    assert Reader(path).find(UUID(int=1)) == status(1)
    assert Reader(path).deliveries(UUID(int=1)) == [delivery(1)]


@pytest.mark.parametrize("name", ["a #?%41", "c#", "what?", "100%25", "50%", "my music", "ä", "a&mode=rw"])
def test_the_file_may_lie_in_a_directory_of_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name / "view #1.sqlite3", Path(name) / "view?.sqlite3"):
        store, reader = Store(path), Reader(path)
        store.open("here")
        store.apply(Batch([status(1)]))
        assert reader.find(UUID(int=1)) == status(1)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.select("DELETE FROM tasks")
        store.close()


def test_nobody_else_can_read_the_file(store, path):
    store.apply(Batch([status(1)]))
    assert {
        file.name: file.stat().st_mode & 0o077
        for file in path.parent.glob("view.sqlite3*")
        if file.suffix != ".lock"
    } == {
        "view.sqlite3": 0,
        "view.sqlite3-shm": 0,
        "view.sqlite3-wal": 0,
    }


def test_what_says_nothing_new_changes_nothing(store):
    store.apply(Batch([status(1, state=State.FAILED)]))
    assert store.apply(Batch([status(1), status(1, state=State.FAILED)])) == []


def test_rows_and_offsets_change_together_or_not_at_all(store, path):
    with pytest.raises(sqlite3.Error):
        store.apply(Batch([status(1)], [], {TopicPartition("tasks", 1): None}))
    assert Reader(path).find(UUID(int=1)) is None
    assert store.offsets() == {}


@pytest.mark.parametrize("damage", ["garbage", "schema", "origin", "no origin", "gone"])
def test_a_file_that_is_not_ours_is_made_anew(store, path, damage):
    store.apply(Batch([status(1)], [], {TopicPartition("tasks", 1): 7}))
    store.close_file()
    if damage == "garbage":
        path.write_bytes(b"no database" * 1000)
    elif damage == "schema":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
    elif damage == "no origin":
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM origin")
    elif damage == "gone":
        store.remove()
    store.open("there" if damage == "origin" else "here")
    assert store.offsets() == {}
    store.apply(Batch([status(2)]))
    reader = Reader(path)
    assert ids(reader.page(Query())) == [2]


def test_a_file_that_is_removed_is_missed(store, path):
    assert store.is_there
    path.unlink()
    assert not store.is_there


def test_one_file_has_one_writer(store, path):
    with pytest.raises(BlockingIOError, match="another api"):
        Store(path)


def test_pages_are_newest_first_without_gaps_or_repeats(store, path):
    # Some of one time, as a burst of them has.
    store.apply(Batch([status(n, submitted_at=float(n // 3)) for n in range(1, 100)]))
    reader, seen, after = Reader(path), [], None
    while page := reader.page(Query(after=after, limit=7)):
        seen += page
        after = Position(page[-1].submitted_at, page[-1].task_uuid)
    assert ids(seen) == list(range(99, 0, -1))


def test_tasks_are_chosen_by_user_state_and_time(store, path):
    store.apply(Batch([status(n, user="bob" if n % 2 else "alice") for n in range(1, 11)]))
    store.apply(Batch([status(n, user="bob", state=State.FAILED) for n in (1, 3)]))
    reader = Reader(path)
    assert ids(reader.page(Query(user="alice"))) == [10, 8, 6, 4, 2]
    assert ids(reader.page(Query(user="bob", state=State.FAILED))) == [3, 1]
    assert ids(reader.page(Query(state=State.FAILED, since=2.0))) == [3]
    assert ids(reader.page(Query(since=4.0, until=6.0))) == [5, 4]


LABELS = ["a", "a%", "a_", "ab", "aB", "A", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffffz", "a\n", None, "ä"]


@pytest.mark.parametrize("beginning", [label for label in LABELS if label] + ["%", "_", "a'", "x", "\ud7ffa"])
def test_tasks_are_chosen_by_the_very_beginning_of_their_label(store, path, beginning):
    store.apply(Batch([status(n, label=label) for n, label in enumerate(LABELS)]))
    expected = [n for n, label in enumerate(LABELS) if label is not None and label.startswith(beginning)]
    assert ids(Reader(path).page(Query(label=beginning))) == expected[::-1]
    assert ids(Reader(path).page(Query(label=beginning, user="alice", limit=1))) == expected[-1:]
    assert ids(Reader(path).page(Query(label=beginning, user="bob"))) == []


def test_a_label_that_becomes_known_late_is_found(store, path):
    store.apply(Batch([status(1)]))
    store.apply(Batch([status(1, label="a", metadata={"b": None}, state=State.DOWNLOADING)]))
    (found,) = Reader(path).page(Query(label="a"))
    assert Reader(path).page(Query(search="A")) == [found]
    assert found.metadata == {"b": None}


def test_who_waits_for_a_retry_is_not_in_the_queue(store, path):
    store.apply(Batch([status(1), status(2, next_try_at=99.0), status(3, state=State.SEPARATING), status(4)]))
    assert Reader(path).queue_place(4.0).place == 2


@pytest.mark.parametrize(
    ("priority", "at", "place"),
    # lane 5 has two tasks, lane 3 six, lane 1 one
    [
        (5, 11.0, 2),
        (5, 99.0, 3),
        (4, 99.0, 3),
        (3, 1.0, 3),
        (3, 4.0, 7),
        (2, 99.0, 5),
        (1, 31.0, 7),
        (1, 99.0, 10),
    ],
)
def test_a_place_counts_what_the_lanes_weights_let_begin_before(store, path, priority, at, place):
    lanes = {5: [10.0, 11.0], 3: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1: [31.0]}
    queued = [(lane, since) for lane, times in lanes.items() for since in times]
    store.apply(Batch([status(n, priority=lane, at=since) for n, (lane, since) in enumerate(queued)]))
    assert Reader(path).queue_place(at, priority).place == place


def test_a_priority_that_becomes_known_late_counts(store, path):
    store.apply(Batch([status(1), status(2)]))
    store.apply(Batch([status(1, priority=5)]))
    assert Reader(path).find(UUID(int=1)).priority == 5
    assert Reader(path).queue_place(2.0, 5).place == 2


def test_the_wait_is_told_by_what_tasks_took_of_late_and_how_many_are_worked_on(store, path):
    reader = Reader(path)
    store.apply(Batch([status(1), status(2), status(3, state=State.SEPARATING)]))
    assert reader.queue_place(2.0).eta_s is None
    took = [{"downloading": 10.0, "uploading": 10.0 + s} for s in (20.0, 40.0)]
    done = [status(10 + n, state=State.SUCCEEDED, times=times) for n, times in enumerate(took)]
    store.apply(Batch([*done, status(20, state=State.SUCCEEDED), status(4, state=State.DOWNLOADING)]))
    # two at once, 30 s each, and the second in the queue
    assert reader.queue_place(2.0).eta_s == 30.0


def test_what_tasks_took_is_read_again_only_after_a_change(store, path, monkeypatch):
    read = []
    page = Reader.page
    monkeypatch.setattr(Reader, "page", lambda self, query: read.append(query) or page(self, query))
    reader, times = Reader(path), {"downloading": 10.0, "uploading": 20.0}
    store.apply(
        Batch([status(1), status(2, state=State.SEPARATING), status(3, state="succeeded", times=times)])
    )
    assert [reader.queue_place(1.0).eta_s for _ in range(3)] == [10.0] * 3
    assert len(read) == 1
    store.apply(Batch([status(4, state=State.SEPARATING)]))
    assert reader.queue_place(1.0).eta_s == 5.0
    store.remove()
    store.open("here")
    reader.reopen()
    assert reader.queue_place(1.0).eta_s is None


def test_old_tasks_go_and_those_that_are_still_told_of_stay(store, path):
    now = time.time()
    old, busy = status(1, submitted_at=1.0, at=2.0), status(2, submitted_at=1.0, at=now)
    store.apply(Batch([old, busy], [delivery(1), delivery(2, started_at=now)]))
    store.prune(now - WEEK_S)
    reader = Reader(path)
    assert ids(reader.page(Query())) == [2]
    assert (len(reader.deliveries(UUID(int=1))), len(reader.deliveries(UUID(int=2)))) == (0, 1)


def test_outcomes_are_kept_once_a_run_and_go_with_their_age(store, path):
    failed = status(1, state=State.FAILED, at=1.0, error_code="too_long")
    again = status(1, state=State.SUCCEEDED, at=5.0, run=2)
    store.apply(Batch([failed, failed.model_copy(update={"at": 3.0}), again]))
    reader = Reader(path)
    assert statistics.outcomes(reader, 0.0) == [
        statistics.Ended(0.0, "failed", "too_long", 1),
        statistics.Ended(0.0, "succeeded", None, 1),
    ]
    store.prune(2.0)
    assert [ended.state for ended in statistics.outcomes(reader, 0.0)] == ["succeeded"]


def test_every_question_has_its_index(store, path):
    connection = sqlite3.connect(path)
    where = ["", "user = 'a'", "state = 'failed'", "user = 'a' AND state = 'failed'"]
    where += ["idempotency_key = 'k'", "idempotency_key = 'k' AND user = 'a' AND +state = 'failed'"]
    for terms in where:
        after = "(submitted_at, task_uuid) < (5, x'00')"
        every = " AND ".join(filter(None, (terms, after)))
        sql = f"SELECT status FROM tasks WHERE {every} ORDER BY submitted_at DESC, task_uuid DESC LIMIT 50"
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
        assert ("USING INDEX tasks_by_key" if "key" in terms else "USING INDEX") in plan
        assert ("tasks_by_key_and_user" in plan) == ("key" in terms and "user" in terms)
        assert "TEMP B-TREE" not in plan
    for whose in ("", "user = 'a' AND "):
        sql = f"SELECT rowid FROM tasks WHERE {whose}label >= 'a' AND label < 'b' ORDER BY submitted_at DESC"
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql} LIMIT 50"))
        assert f"USING COVERING INDEX tasks_by_{'user_and_' if whose else ''}label" in plan
    for whose in ("", " AND user = 'a'"):
        sql = f"SELECT user, sum(result_bytes) FROM tasks WHERE result_bytes IS NOT NULL{whose} GROUP BY user"
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
        assert "USING COVERING INDEX tasks_with_results" in plan


def test_a_short_status_is_kept_as_it_is_and_a_long_one_packed(store, path):
    long = status(2, label="x" * 100, metadata={"text": "x" * 2000})
    store.apply(Batch([status(1), long]))
    kept = dict(sqlite3.connect(path).execute("SELECT label, status FROM tasks").fetchall())
    assert kept[None] == status(1).to_bytes()
    assert len(kept[long.label]) < 500
    assert Reader(path).statuses([UUID(int=1), UUID(int=2)]) == {UUID(int=1): status(1), UUID(int=2): long}


def test_more_tasks_than_are_looked_for_at_once_are_merged_with_what_is_known(store, path):
    count = 2 * _ASKED_AT_ONCE + 1
    store.apply(Batch([status(number) for number in range(count)]))
    ended = [status(number, state=State.CANCELLED, at=9e9) for number in range(count)]
    assert len(store.apply(Batch([*ended, *ended]))) == count
    assert store.apply(Batch(ended)) == []
