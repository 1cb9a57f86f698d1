"""Which announcements of processors count, for how long, and that the view's file keeps them."""

import pytest

from api.view.records import Batch
from api.view.store import Store
from api.view.workers import AnnouncedWorkers
from common.tasks.messages.worker import MAX_AGE_S
from tests.support.api.announcements import worker

NOW_S = 10_000.0


def names(workers: AnnouncedWorkers) -> list[str]:
    return [one.worker_id for one in workers.live()]


@pytest.mark.parametrize(
    ("age_s", "counts"),
    [(0, True), (MAX_AGE_S, True), (MAX_AGE_S + 1, False), (-MAX_AGE_S, True), (-MAX_AGE_S - 1, False)],
)
def test_an_announcement_counts_for_three_minutes_and_from_no_clock_that_is_far_ahead(age_s, counts):
    workers = AnnouncedWorkers(lambda: NOW_S)
    workers.add([worker(at=NOW_S - age_s)])
    assert bool(workers.live()) is counts


def test_a_killed_worker_is_gone_after_three_minutes_and_back_when_it_is_heard_again():
    now_s = NOW_S
    workers = AnnouncedWorkers(lambda: now_s)
    workers.add([worker("killed", NOW_S), worker("alive", NOW_S)])
    assert names(workers) == ["alive", "killed"]
    workers.add([worker("alive", NOW_S + 170)])
    now_s = NOW_S + MAX_AGE_S + 0.5
    assert names(workers) == ["alive"]
    workers.add([worker("killed", now_s)])
    assert names(workers) == ["alive", "killed"]


def test_the_last_word_of_a_worker_counts_and_a_stopped_one_does_not():
    workers = AnnouncedWorkers(lambda: NOW_S)
    workers.add([worker("a", NOW_S, running=1), worker("b", NOW_S), worker("a", NOW_S, running=2)])
    assert [one.running for one in workers.live()] == [2, 0]
    workers.add([worker("a", NOW_S, stopped=True)])
    assert names(workers) == ["b"]


def test_the_same_workers_are_the_same_tuple():
    workers = AnnouncedWorkers(lambda: NOW_S)
    workers.add([worker("a", NOW_S)])
    before = workers.live()
    assert workers.live() is before
    workers.add([worker("a", NOW_S)])
    assert workers.live() is not before


def test_a_file_that_is_opened_again_has_the_announcements(tmp_path):
    path, seen = tmp_path / "view.sqlite3", [worker("b", NOW_S), worker("a", NOW_S - 1), worker("a", NOW_S)]
    store = Store(path)
    store.open("here")
    store.apply(Batch(workers=seen))
    store.close()
    workers = AnnouncedWorkers(lambda: NOW_S)
    again = Store(path, workers=workers)
    again.open("here")
    assert workers.live() == (seen[2], seen[0])
    again.prune(NOW_S + 1)
    again.open("here")
    assert workers.live() == ()
    again.close()
