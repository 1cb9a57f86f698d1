"""Whatever the mix of jobs: no more of them work at once than there are slots, and each of them ends."""

import random
import threading

import pytest
from kafka import TopicPartition

from common.errors import ErrorCode, PermanentError
from common.jobs.outcome import Done
from common.jobs.places import Claim, Limits
from common.kafka.records import Message
from common.worker.committed_state import CommittedState
from common.worker.quarantine import Quarantine
from common.worker.waiting_room import PlaceRules
from tests.support.common.worker.fakes import TOPIC
from tests.support.common.worker.worker_harness import WorkerHarness

FAST, SLOW, CANCELLED = b"fast", b"slow", b"cancelled"
ONE_PLACE_EACH = PlaceRules(Limits(total=4, per_user=2), lambda record: Claim(record.value.decode()[-1]))


class Engine:
    """Counts the jobs that work at once. Each stays for a moment, in which others could come."""

    def __init__(self, work_s: float = 0.005) -> None:
        self._lock, self._now, self.most, self.work_s = threading.Lock(), 0, 0, work_s

    def work(self, context) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            context.wait(self.work_s)
        finally:
            with self._lock:
                self._now -= 1


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_no_more_jobs_work_than_there_are_slots_also_of_those_that_waited_for_a_place(seed, slots):
    chance, engine = random.Random(seed), Engine()

    def check() -> None:
        if chance.random() < 0.5:
            raise PermanentError(ErrorCode.CANCELLED, "The task was cancelled")

    def run(record, context):
        if record.value.startswith(SLOW):
            context.leave_slot()
            context.wait(0.01)
        context.regain_slot(check if record.value.startswith(CANCELLED) else None)
        context.leave_place()
        engine.work(context)
        return Done((Message("results", b"k", record.value),))

    log = [chance.choice([FAST, FAST, SLOW, CANCELLED]) + chance.choice([b"a", b"b"]) for _ in range(30)]
    harness = WorkerHarness(run, log=log, slots=slots, places=ONE_PLACE_EACH)
    harness.worker._leases.quarantine = Quarantine(aside_patience_s=0.02, tick_s=0.005)
    # some records are on their last attempt, which works alone
    begun = {offset: chance.choice([0, 0, 0, 1, 2]) for offset in range(len(log))}
    harness.broker.offsets[TopicPartition(TOPIC, 0)] = CommittedState(len(log), begun).encode()
    running = harness.start()
    harness.wait_for_results(len(log))
    harness.worker.stop()
    running.result()
    assert engine.most <= slots


def test_a_job_that_took_its_place_itself_after_a_wait_needs_a_slot_again():
    engine, held = Engine(0.2), threading.Event()
    has_slot_of_waiting, may_go_on = threading.Event(), threading.Event()
    claim = Claim("a")

    def run(record, context):
        if record.value == b"holds the place":
            assert context.take_place(claim)
            held.set()
            assert has_slot_of_waiting.wait(20)
            context.leave_place()
            assert may_go_on.wait(20)
        elif record.value == b"waits":
            assert held.wait(20)
            while not context.take_place(claim):
                pass
            may_go_on.set()
        else:
            has_slot_of_waiting.set()
            assert may_go_on.wait(20)
        context.regain_slot()
        engine.work(context)
        return Done((Message("results", b"k", record.value),))

    places = PlaceRules(Limits(per_user=1), lambda record: None)
    harness = WorkerHarness(run, log=[b"holds the place", b"waits", b"has its slot"], slots=2, places=places)
    running = harness.start()
    harness.wait_for_results(3)
    harness.worker.stop()
    running.result()
    assert engine.most <= 2
