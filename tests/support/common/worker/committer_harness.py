"""A committer in front of a broker in memory, whose steps can be held, broken and counted."""

import threading
from dataclasses import replace

from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.worker.committed_state import decode
from common.worker.committer import Committer
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import (
    FakeBroker,
    FakeProducer,
    InThread,
    Script,
    leased,
    loaded,
    partition,
)
from tests.support.common.worker.worker_harness import HURRIED
from tests.support.waiting import wait_for

RESULT = Message("results", b"k", b"1")


class Gate:
    """Holds transactions at their beginning until it is opened."""

    def __init__(self, closed: bool = True, at: str = "begin"):
        self._at = at
        self.reached = threading.Event()
        self._open = threading.Event()
        if not closed:
            self._open.set()

    def __call__(self, step: str) -> None:
        if step == self._at and not self._open.is_set():
            self.reached.set()
            self._open.wait(60)

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


class Harness:
    """A committer on a table with one loaded partition, in front of a broker in memory."""

    def __init__(self, script=None, ack=lambda message: None, group=None, make=None, **pace):
        self.table = LeaseTable(slots=16)
        self.assignment = loaded(self.table)
        self.broker = FakeBroker()
        self.script = script or Script()
        self.fatal: list[BaseException] = []
        self.producers: list[FakeProducer] = []
        self._ack = ack
        self.committer = Committer(
            self.table,
            lambda: group or self.broker,
            make or self.make_producer,
            self.fatal.append,
            pace=replace(HURRIED, **pace),
        )

    def make_producer(self) -> TransactionalProducer:
        self.producers.append(FakeProducer(self.broker, self.script, self._ack))
        return TransactionalProducer(self.producers[-1])

    def wait_for_requests(self, count: int) -> None:
        wait_for(lambda: len(self.committer._requests) >= count, 10, f"{count} requests that wait")

    def begun(self, offset: int = 0):
        lease = leased(self.table, offset)
        assert self.committer.begin(lease)
        return lease

    def held_finish(self, gate: Gate, lease) -> InThread:
        """A result whose transaction has come to the gate, and is held there."""
        gate.close()
        finish = InThread(self.committer.finish, lease, (RESULT,))
        assert gate.reached.wait(10)
        return finish

    @property
    def committed(self):
        return decode(self.broker.offsets.get(partition()))
