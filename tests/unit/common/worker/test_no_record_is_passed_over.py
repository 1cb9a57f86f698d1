"""Whatever the order of reads, seeks, ends, pauses and losses: each record is done by a job of its own."""

import random
from dataclasses import dataclass, field

import pytest
from kafka.structs import OffsetAndMetadata

from common.worker.committed_state import Step
from common.worker.lease import Lease, NotLeased
from common.worker.lease_table import LeaseTable, Wanted
from tests.support.common.worker.fakes import loaded, partition, record

RECORDS = 12
STEPS = 300


@dataclass
class Reader:
    """A consumer of one partition: the position, and whether it is paused."""

    position: int = 0
    paused: bool = False

    def follow(self, wanted: Wanted) -> None:
        self.position = wanted.seeks.get(partition(), self.position)
        self.paused = partition() in wanted.paused

    def poll(self) -> int | None:
        if self.paused or self.position >= RECORDS:
            return None
        self.position += 1
        return self.position - 1


@dataclass
class Run:
    """One order of steps, decided by the seed. The jobs and the poll thread take turns at any point."""

    chance: random.Random
    table: LeaseTable = field(default_factory=lambda: LeaseTable(slots=3))
    reader: Reader = field(default_factory=Reader)
    ready: list[Lease] = field(default_factory=list)
    begun: list[Lease] = field(default_factory=list)
    waiting: list[Lease] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    committed: OffsetAndMetadata | None = None
    orders: Wanted | None = None
    polled: int | None = None
    back_to: int | None = None

    def steps(self) -> list:
        return [self.order, self.follow, self.poll, self.take, self.begin, self.put_back, self.finish,
                self.stop, self.set_aside, self.resume, self.hold, self.release, self.lose]  # fmt: skip

    def order(self) -> None:
        if self.orders is None and self.polled is None and self.back_to is None:
            self.orders = self.table.wanted({partition()})

    def follow(self) -> None:
        if self.orders is not None:
            self.reader.follow(self.orders)
            self.orders = None
            self.polled = self.reader.poll()

    def poll(self) -> None:
        self.order()
        self.follow()

    def take(self) -> None:
        if self.polled is None:
            return
        offset, self.polled = self.polled, None
        match self.table.admit(record(offset)):
            case Lease() as lease:
                self.ready.append(lease)
            case NotLeased.NOT_YET:
                self.back_to = offset

    def begin(self) -> None:
        if (lease := self.some(self.ready)) is None:
            return
        if self.table.begin(lease):
            self.begun.append(lease)
        elif lease.live:
            self.ready.append(lease)

    def put_back(self) -> None:
        if self.back_to is not None:
            self.reader.position, self.back_to = self.back_to, None

    def finish(self) -> None:
        if lease := self.some(self.begun):
            if lease.live:
                self.commit(lease)
                self.done.append(lease.offset)
            self.table.end(lease)

    def commit(self, lease: Lease) -> None:
        steps = [(Step.BEGIN, lease), (Step.FINISH, lease)]
        (state,) = self.table.proposed(steps).values()
        self.committed = state.encode()
        self.table.apply(steps)

    def stop(self) -> None:
        """The job ends without a result, as after an error of the broker."""
        if lease := self.some(self.begun):
            self.table.end(lease)

    def set_aside(self) -> None:
        if lease := self.some(self.begun):
            self.table.set_aside(lease)
            self.waiting.append(lease)

    def resume(self) -> None:
        lease = self.some(self.waiting)
        if lease and self.table.resume(lease):
            self.begun.append(lease)

    def lose(self) -> None:
        """The partition leaves and comes back. The client drops what it has read."""
        if self.chance.random() < 0.02:
            self.table.drop([partition()])
            self.reader, self.orders, self.polled, self.back_to = Reader(), None, None, None
            loaded(self.table, committed=self.committed)

    def hold(self) -> None:
        self.table.hold_back({partition()})

    def release(self) -> None:
        self.table.hold_back(set())

    def some(self, leases: list[Lease]) -> Lease | None:
        return leases.pop(self.chance.randrange(len(leases))) if leases else None

    def come_to_rest(self) -> None:
        self.release()
        for _ in range(20 * RECORDS):
            for step in (
                self.resume,
                self.put_back,
                self.take,
                self.begin,
                self.put_back,
                self.poll,
                self.finish,
            ):
                step()


@pytest.mark.parametrize("seed", range(200))
def test_every_record_is_done_once(seed):
    chance = random.Random(seed)
    run = Run(chance)
    loaded(run.table)
    for _ in range(STEPS):
        chance.choice(run.steps())()
    run.come_to_rest()
    assert sorted(run.done) == list(range(RECORDS))
