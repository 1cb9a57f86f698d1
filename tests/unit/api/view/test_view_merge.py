"""Statuses of a task are merged to the right one, in whatever order they come."""

import itertools
from uuid import UUID

import pytest

from api.view.merge import merged, of_task, rank
from common.tasks.messages import Choices, State, Status, Task

TASK_UUID = UUID(int=1)


def reported(state: State, **fields) -> Status:
    return Status(**{"task_uuid": TASK_UUID, "submitted_at": 1.0, "at": 5.0, "state": state} | fields)


TASK = of_task(Task(task_uuid=TASK_UUID, audio="a", hook_url="h", submitted_at=1.0, user="alice"))
LIFE = [
    TASK,
    reported(State.DOWNLOADING, attempt=1),
    reported(State.SEPARATING, attempt=1, progress=0.3),
    reported(State.SEPARATING, attempt=1, progress=0.6),
    reported(State.DOWNLOADING, attempt=2),  # its worker was killed
    reported(State.QUEUED, tries=(1,), next_try_at=30.0),
    reported(State.DOWNLOADING, tries=(1,), attempt=1),
    reported(State.UPLOADING),
    reported(State.UPLOADING, attempt=1, progress=0.95),
    reported(State.UPLOADING, tries=(0, 1), next_try_at=60.0),
    reported(State.DELIVERING, tries=(0, 1), attempt=1),
    reported(State.DELIVERING, tries=(1, 0), next_try_at=90.0),
    reported(State.UPLOADING, tries=(1, 1), next_try_at=95.0),
    reported(State.SUCCEEDED, tries=(1, 1), attempt=1),
]


def fold(statuses) -> Status:
    known = None
    for status in statuses:
        known = merged(known, status)
    return known


def test_each_step_of_a_life_is_above_the_one_before():
    ranks = [rank(status) for status in LIFE]
    assert ranks == sorted(set(ranks))


def test_the_order_of_arrival_makes_no_difference():
    for first, second, third in itertools.permutations(LIFE, 3):
        highest = max((first, second, third), key=rank)
        assert rank(fold((first, second, third))) == rank(highest)


@pytest.mark.parametrize("late", LIFE[:-1])
@pytest.mark.parametrize("end", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_end_is_never_left(end, late):
    over = reported(end)
    assert merged(over, late.model_copy(update={"at": 1e9})).state is end
    assert merged(over, reported(State.FAILED, at=9.0)).state is end


def test_a_replay_begins_anew_and_what_comes_late_of_the_run_before_is_passed_over():
    over, replay = reported(State.FAILED, error_code="x"), TASK.model_copy(update={"run": 2})
    assert merged(over, replay) == replay
    assert merged(replay, over) is replay


def test_whom_to_call_is_known_in_whatever_order_it_is_told():
    statuses = [reported(State.DOWNLOADING, attempt=1), TASK, reported(State.FAILED)]
    assert [s.hook_url for s in statuses] == [None, "h", None]
    for order in itertools.permutations(statuses):
        assert fold(order).hook_url == "h"
    over = fold(statuses)
    assert merged(over, TASK) is over
    assert merged(over, TASK.model_copy(update={"run": 2, "hook_url": None})).hook_url == "h"


def test_which_song_it_is_is_known_in_whatever_order_it_is_told():
    task = Task(task_uuid=TASK_UUID, audio="https://u:p@a.example:81/s.mp3?sig=1#x", submitted_at=1.0)
    song = "https://a.example:81/s.mp3"
    statuses = [reported(State.DOWNLOADING, attempt=1), of_task(task), reported(State.FAILED)]
    assert [status.audio for status in statuses] == [None, song, None]
    for order in itertools.permutations(statuses):
        assert fold(order).audio == song
    # Of a view that is made anew after the task's own record is gone.
    assert fold([reported(State.FAILED, audio=song), reported(State.DOWNLOADING, attempt=1)]).audio == song
    replay = of_task(task.model_copy(update={"run": 2}))
    assert merged(fold(statuses), replay).audio == song


def test_what_was_chosen_is_known_in_whatever_order_it_is_told():
    """A worker of an earlier version says nothing of it."""
    chosen = {"choices": Choices(preset="best"), "label": "Artist - Title", "metadata": {}, "priority": 5}
    task = Task(task_uuid=TASK_UUID, audio="a", submitted_at=1.0, **chosen)
    for order in itertools.permutations([reported(State.DOWNLOADING, attempt=1), of_task(task), TASK]):
        assert fold(order).model_dump(include=chosen.keys()) == task.model_dump(include=chosen.keys())


def test_a_state_was_entered_when_it_was_entered_last_in_whatever_order_it_is_told():
    waits = reported(State.QUEUED, tries=(1,), next_try_at=30.0, times={"queued": 20.0, "downloading": 2.0})
    again = reported(State.DOWNLOADING, tries=(1,), attempt=1, times={"queued": 20.0, "downloading": 31.0})
    late = reported(State.DOWNLOADING, attempt=1, times={"queued": 1.0, "downloading": 2.0})
    older = reported(State.DOWNLOADING, tries=(1,), attempt=2, times={"queued": 1.0, "downloading": 33.0})
    for order in itertools.permutations([TASK, waits, again, late]):
        assert fold(order).times == {"queued": 20.0, "downloading": 31.0}
    assert fold([TASK, waits, again, older]).times == {"queued": 20.0, "downloading": 33.0}


def test_times_come_together_from_all_that_is_told():
    first = reported(State.DOWNLOADING, attempt=1, times={"queued": 1.0, "downloading": 2.0})
    last = reported(State.SUCCEEDED, times={"uploading": 4.0, "succeeded": 5.0})
    expected = {"queued": 1.0, "downloading": 2.0, "uploading": 4.0, "succeeded": 5.0}
    assert merged(first, last).times == merged(last, first).times == expected
    assert merged(merged(first, last), first) is not first
    assert merged(last, reported(State.UPLOADING, times={"uploading": 3.0})) is last


DELETED = reported(State.SUCCEEDED, deleted_at=9.0, at=9.0)


def test_a_deletion_stands_whatever_is_read_before_or_after_it():
    for statuses in itertools.permutations([TASK, LIFE[-1], DELETED]):
        assert fold(statuses) == DELETED.model_copy(update={"user": "alice"})


def test_a_deletion_leaves_a_later_run_alone():
    later = reported(State.DOWNLOADING, run=2)
    for statuses in itertools.permutations([TASK, DELETED, later]):
        found = fold(statuses)
        assert (found.run, found.state, found.deleted_at) == (2, State.DOWNLOADING, None)


def test_a_deletion_of_a_later_run_forgets_what_an_earlier_one_had():
    deleted = DELETED.model_copy(update={"run": 2, "user": "alice"})
    for statuses in itertools.permutations([TASK, LIFE[-1], deleted]):
        assert fold(statuses) == deleted
