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

    def __init__(self) -> None:
        self._lock, self._now, self.most = threading.Lock(), 0, 0

    def work(self, context) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            context.wait(0.005)
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
        context.leave_place()
        context.regain_slot(check if record.value.startswith(CANCELLED) else None)
        engine.work(context)
        return Done((Message("results", b"k", record.value),))

    log = [chance.choice([FAST, FAST, SLOW, CANCELLED]) + chance.choice([b"a", b"b"]) for _ in range(30)]
    harness = WorkerHarness(run, log=log, slots=slots, places=ONE_PLACE_EACH)
    harness.worker._leases.quarantine = Quarantine(aside_patience_s=0.02)
    # some records are on their last attempt, which works alone
    begun = {offset: chance.choice([0, 0, 0, 1, 2]) for offset in range(len(log))}
    harness.broker.offsets[TopicPartition(TOPIC, 0)] = CommittedState(len(log), begun).encode()
    running = harness.start()
    harness.wait_for_results(len(log))
    harness.worker.stop()
    running.result()
    assert engine.most <= slots
