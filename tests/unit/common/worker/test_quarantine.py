"""A record on its last attempt works alone in its worker, and the others go on after it."""

import threading

import pytest

from common.errors import Cancelled
from common.worker.quarantine import Quarantine
from tests.support.common.worker.fakes import InThread
from tests.support.waiting import wait_for

TICK_S = 0.005


class Job:
    """Takes its turn in a thread of its own and keeps it until `end()`. `live` is its lease."""

    def __init__(self, quarantine: Quarantine, alone: bool = False):
        self.live, self.working, self.cancelled = True, threading.Event(), threading.Event()
        self._ending, self._looks = threading.Event(), 0
        self._thread = threading.Thread(target=self._run, args=(quarantine, alone), daemon=True)
        self._thread.start()

    def _run(self, quarantine: Quarantine, alone: bool) -> None:
        try:
            with quarantine.turn(alone, self._is_live):
                self.working.set()
                self._ending.wait(30)
        except Cancelled:
            self.cancelled.set()

    def _is_live(self) -> bool:
        """Is asked each time when it has no turn yet."""
        self._looks += 1
        return self.live

    def starts(self) -> bool:
        return self.working.wait(10)

    def waits(self) -> bool:
        """It has looked whether it may start, and has not started."""
        # Before the first of these looks it may have seen what was before this call.
        looks = self._looks + 2
        wait_for(lambda: self._looks >= looks or self.working.is_set(), 10, "a look")
        return not self.working.is_set()

    def end(self) -> None:
        self._ending.set()
        self._thread.join(10)


@pytest.fixture
def quarantine() -> Quarantine:
    return Quarantine(tick_s=TICK_S)


def test_ordinary_jobs_work_side_by_side(quarantine):
    assert Job(quarantine).starts()
    assert Job(quarantine).starts()


def test_a_last_attempt_waits_for_those_that_work_and_keeps_the_next_ones_waiting(quarantine):
    first = Job(quarantine)
    assert first.starts()
    last = Job(quarantine, alone=True)
    assert last.waits()
    behind = Job(quarantine)
    assert behind.waits()
    first.end()
    assert last.starts()
    assert behind.waits()
    last.end()
    assert behind.starts()


def test_two_last_attempts_work_one_after_the_other(quarantine):
    one, other = Job(quarantine, alone=True), Job(quarantine, alone=True)
    wait_for(lambda: one.working.is_set() or other.working.is_set(), 10, "a start")
    first, second = (one, other) if one.working.is_set() else (other, one)
    assert second.waits()
    first.end()
    assert second.starts()


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_whose_lease_ends_waits_no_longer_and_holds_nobody_up(quarantine, alone):
    working = Job(quarantine, alone=not alone)
    assert working.starts()
    waiting = Job(quarantine, alone)
    assert waiting.waits()
    waiting.live = False
    assert waiting.cancelled.wait(10)
    working.end()
    assert Job(quarantine).starts()


def test_a_turn_ends_with_the_exception_that_leaves_it(quarantine):
    with pytest.raises(RuntimeError, match="a defect"), quarantine.turn(True, lambda: True):
        raise RuntimeError("a defect")
    assert Job(quarantine).starts()


class Aside:
    """A job that has stepped aside, in the test's own thread."""

    def __init__(self, quarantine: Quarantine):
        self._quarantine = quarantine
        quarantine.begin(False, lambda: True)
        quarantine.step_aside(False)

    def come_back_and_end(self) -> None:
        self._quarantine.come_back(False, lambda: True)
        self._quarantine.end(False)


def test_a_last_attempt_waits_for_a_job_that_has_stepped_aside_and_others_start_meanwhile(quarantine):
    aside = Aside(quarantine)
    last = Job(quarantine, alone=True)
    assert last.waits()
    other = Job(quarantine)
    assert other.starts()
    other.end()
    aside.come_back_and_end()
    assert last.starts()


def test_a_job_that_stays_aside_holds_up_no_last_attempt_for_long():
    quarantine = Quarantine(aside_patience_s=0.1, tick_s=TICK_S)
    aside = Aside(quarantine)
    last = Job(quarantine, alone=True)
    assert last.starts()
    back = InThread(aside.come_back_and_end)
    assert Job(quarantine).waits()
    assert back.waits
    last.end()
    back.result()


def test_a_job_that_ends_aside_is_waited_for_no_more(quarantine):
    Aside(quarantine)
    last = Job(quarantine, alone=True)
    assert last.waits()
    quarantine.end_aside()
    assert last.starts()


def test_a_job_that_is_stopped_on_its_way_back_is_aside_until_its_end():
    quarantine = Quarantine(aside_patience_s=0.1, tick_s=TICK_S)
    Aside(quarantine)
    assert Job(quarantine, alone=True).starts()
    with pytest.raises(Cancelled):
        quarantine.come_back(False, lambda: False)
    quarantine.end_aside()


def test_a_last_attempt_waits_for_a_job_that_steps_aside_while_it_waits(quarantine):
    quarantine.begin(False, lambda: True)
    last = Job(quarantine, alone=True)
    assert last.waits()
    quarantine.step_aside(False)
    assert last.waits()
    other = Job(quarantine)
    assert other.starts()
    quarantine.come_back(False, lambda: True)
    other.end()
    assert last.waits()
    quarantine.end(False)
    assert last.starts()
