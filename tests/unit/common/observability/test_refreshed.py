"""An answer that is asked for in the background: readers never wait, and never see an old one."""

import threading

import pytest

from common.observability.health import Check, is_ready
from common.observability.prometheus import new_registry, register_readiness
from common.observability.refreshed import Refreshed
from tests.support.common.observability.exposition import Exposition
from tests.support.waiting import wait_for


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_before_the_first_answer_there_is_none():
    asked: Refreshed[int] = Refreshed(lambda: 1)
    assert asked.last() is None
    asked.refresh()
    assert asked.last() == 1


@pytest.mark.parametrize(("age_s", "known"), [(11.9, True), (12.1, False)])
def test_an_answer_is_forgotten_with_time(age_s: float, known: bool):
    clock = Clock()
    asked = Refreshed(lambda: 1, clock)
    asked.refresh()
    clock.now_s += age_s
    assert (asked.last() == 1) is known


def test_a_service_whose_check_hangs_is_ready_no_longer_and_again_once_it_answers():
    clock, hangs, answers = Clock(), threading.Event(), threading.Event()

    def check() -> Check:
        if hangs.is_set():
            answers.wait()
        return Check(True)

    readiness = Refreshed(lambda: is_ready({"disk": check}), clock)
    registry = new_registry()
    register_readiness(registry, "processor", lambda: readiness.last() is True)
    readiness.refresh()

    def shown() -> float:
        return Exposition.of(registry).value("uvr_ready", service="processor")

    assert shown() == 1
    hangs.set()
    thread = threading.Thread(target=readiness.refresh, daemon=True)
    thread.start()
    clock.now_s += 13
    assert shown() == 0
    assert thread.is_alive(), "the check still hangs"
    answers.set()
    thread.join()
    assert shown() == 1


def test_the_thread_asks_by_itself():
    asked = Refreshed(lambda: 1)
    asked.start("asks")
    wait_for(lambda: asked.last() == 1, 20, "an answer")
