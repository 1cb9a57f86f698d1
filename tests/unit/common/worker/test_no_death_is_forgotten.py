"""Whatever the order of begins, waits, moves and stops: only attempts begun here are handed back, and once.

An attempt that ended in a crash counts for good, or a song that kills its worker would go on for ever. An
attempt that was stopped in good order never counts, or a song would be given up for other reasons.
"""

import random
import threading
from collections.abc import Callable

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from common.jobs.outcome import Deferred
from common.jobs.places import Claim, Limits
from common.kafka.records import Message
from common.worker import committed_state
from common.worker.committed_state import CommittedState
from common.worker.quarantine import Quarantine
from common.worker.waiting_room import PlaceRules
from tests.support.common.worker.fakes import TOPIC, FakeProducer
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.waiting import wait_for

PARTITION = TopicPartition(TOPIC, 0)
PLACE = Claim("a")
RECORDS = 4


def lose(harness: WorkerHarness) -> None:
    harness.consumer.lose()


def stop(harness: WorkerHarness) -> None:
    harness.worker.stop()


class Moment:
    """The step of a job or of a transaction at which the worker is stopped; `come` is set there."""

    def __init__(self, steps: int):
        self._steps, self._lock, self.come = steps, threading.Lock(), threading.Event()

    def step(self) -> None:
        with self._lock:
            self._steps -= 1
            if self._steps <= 0:
                self.come.set()


class Lives:
    """Four records in one worker. Their jobs take steps in an order that the seed decides, until `end`."""

    def __init__(self, seed: int, end: Callable[[WorkerHarness], None]):
        self.chance, self.end = random.Random(seed), end
        deaths = {offset: self.chance.randrange(3) for offset in range(RECORDS)}
        earlier = {offset: self.chance.randrange(2) for offset in range(RECORDS)}
        begun = {offset: deaths[offset] + earlier[offset] for offset in range(RECORDS)}
        handed_back = {offset: count for offset, count in earlier.items() if count}
        self.before = CommittedState(RECORDS, begun, handed_back)
        self.moment = Moment(self.chance.randrange(1, 30))
        needed = PlaceRules(Limits(per_user=1), lambda record: self.chance.choice([None, PLACE]))
        self.harness = WorkerHarness(self._run, log=[b"song"] * RECORDS, grace_s=0, places=needed)
        self.harness.worker._leases.quarantine = Quarantine(aside_patience_s=0.01, tick_s=0.005)
        self.harness.broker.offsets[PARTITION] = self.before.encode()
        self.harness.make_producer = lambda: FakeProducer(self.harness.broker, self._transaction_step)

    def _transaction_step(self, step: str) -> None:
        """One commit in ten fails, some of them after their effect: their end is unknown to the worker."""
        self.moment.step()
        if step in ("commit", "committed") and self.chance.random() < 0.1:
            raise KafkaTimeoutError

    def _run(self, record, context):
        while True:
            self.moment.step()
            step = self.chance.choice([context.leave_slot, context.regain_slot, context.leave_place, None])
            if step is not None:
                step()
            elif not context.take_place(PLACE):
                return Deferred(PLACE, (Message("told", b"k", b"waits"),))
            context.check()

    def counted(self) -> dict[int, int]:
        """The attempts of each record that count, as of what is committed."""
        state = committed_state.decode(self.harness.broker.offsets[PARTITION])
        return {offset: state.counted_attempts(offset) for offset in range(RECORDS)}

    def run(self) -> None:
        running = self.harness.start()
        assert self.moment.come.wait(20)
        self.end(self.harness)
        wait_for(lambda: self.harness.worker.running_count == 0, 20, "the jobs' ends")
        self.harness.worker.stop()
        running.result()


@pytest.mark.parametrize("end", [lose, stop])
@pytest.mark.parametrize("seeds", [range(first, first + 5) for first in range(0, 40, 5)], ids=str)
def test_after_a_move_or_a_stop_the_same_attempts_count_as_before(seeds, end):
    for seed in seeds:
        lives = Lives(seed, end)
        lives.run()
        deaths = {offset: lives.before.counted_attempts(offset) for offset in range(RECORDS)}
        assert lives.counted() == deaths, seed
