"""How many tasks are queued, whatever becomes of them, of the file, and of those that never come."""

from uuid import UUID

import pytest

from api.view.backlog import Backlog, Queued
from api.view.query import Query
from api.view.reader import Reader
from api.view.records import Batch
from api.view.store import Store
from common.tasks.messages import State, Status


@pytest.fixture
def backlog():
    return Backlog()


@pytest.fixture
def store(tmp_path, backlog):
    store = Store(tmp_path / "view.sqlite3", backlog)
    store.open("here")
    yield store
    store.close()


def status(number: int, state: State = State.QUEUED, user: str = "alice", **fields) -> Status:
    at = {"submitted_at": float(number), "at": float(number), **fields}
    return Status(task_uuid=UUID(int=number), user=user, state=state, **at)


def test_it_follows_what_becomes_of_tasks(store, backlog):
    store.apply(Batch([status(1), status(2), status(3, user="bob"), status(4, State.FAILED)]))
    assert (backlog.queued("alice"), backlog.queued("eve")) == (Queued(2, 3), Queued(0, 3))
    # Twice in one batch, and what says nothing new.
    store.apply(Batch([status(1, State.DOWNLOADING), status(1, State.SEPARATING), status(2)]))
    assert backlog.queued("alice") == Queued(1, 2)
    store.apply(Batch([status(1, tries=(1,), next_try_at=9.0)]))
    assert backlog.queued("alice") == Queued(2, 3)
    store.apply(Batch([status(n, State.SUCCEEDED) for n in (1, 2)]))
    assert backlog.queued("alice") == Queued(0, 1)


def test_it_is_counted_again_with_another_file_and_after_pruning(store, backlog):
    store.apply(Batch([status(n) for n in range(1, 6)]))
    store.prune(3.0)
    assert backlog.queued("alice") == Queued(3, 3)
    store.open("here")
    assert backlog.queued("alice") == Queued(3, 3)
    store.open("there")
    assert backlog.queued("alice") == Queued(0, 0)


def test_those_that_wait_for_their_callback_are_counted_apart_and_again_with_another_file(store, backlog):
    store.apply(Batch([status(1, State.DELIVERING), status(2, State.FAILED, callback_next_try_at=9.0)]))
    store.apply(Batch([status(3, State.DELIVERING), status(3, State.SUCCEEDED), status(4), status(1)]))
    assert backlog.queued("alice") == Queued(1, 1, 2)
    store.open("here")
    assert backlog.queued("alice") == Queued(1, 1, 2)
    store.apply(Batch([status(1, State.SUCCEEDED), status(2, State.FAILED, tries=(1,))]))
    assert backlog.queued("alice") == Queued(1, 1, 0)
    store.open("there")
    assert backlog.queued("alice") == Queued(0, 0, 0)


def test_a_task_on_its_way_counts_once_until_it_has_come_or_is_given_up(store, backlog):
    for number in (1, 1, 2, 3):
        backlog.enter(UUID(int=number), "alice")
    assert backlog.queued("alice") == Queued(3, 3)
    store.apply(Batch([status(1), status(2, State.FAILED)]))
    assert backlog.queued("alice") == Queued(2, 2)
    backlog.leave(UUID(int=3))
    backlog.leave(UUID(int=1))  # it is there after all
    assert backlog.queued("alice") == Queued(1, 1)


def test_a_task_that_does_not_come_is_forgotten():
    now_s = 0.0
    backlog = Backlog(lambda: now_s)
    backlog.enter(UUID(int=1), "alice")
    now_s = 50.0
    backlog.enter(UUID(int=2), "alice")
    now_s = 70.0
    assert backlog.queued("alice") == Queued(1, 1)


def test_a_key_is_found_whether_the_tasks_own_record_comes_first_or_last(store):
    own = {"idempotency_key": "k", "submission_digest": "d", "user": "alice"}
    over = {"state": State.FAILED, "user": ""}
    store.apply(Batch([status(1, **over)]))
    store.apply(Batch([status(1, **own), status(2, **own)]))
    store.apply(Batch([status(2, **over), status(2, **own | {"submission_digest": "another"})]))
    found = Reader(store.path).page(Query(user="alice", idempotency_key="k"))
    assert [(s.task_uuid.int, s.state, s.submission_digest) for s in found] == [
        (2, "failed", "d"),
        (1, "failed", "d"),
    ]
