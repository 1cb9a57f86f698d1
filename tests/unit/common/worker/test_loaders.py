"""However many partitions are assigned, and whatever the broker answers: a few threads load them all."""

import threading
from collections import defaultdict

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from common.worker.committed_state import CommittedState
from common.worker.lease_table import LeaseTable
from common.worker.metrics import WorkerMetrics
from common.worker.partitions import Partitions
from tests.support.common.worker.fakes import TOPIC
from tests.support.waiting import wait_for

MOST_THREADS = 8


class Hurried(threading.Event):
    """Waits a hundredth of the time."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / 100)


class Group:
    """A consumer whose answers can be held back, and fail for the partitions of `failing`.

    There is no answer in time for those of `open`, which have a transaction.
    """

    def __init__(self) -> None:
        self.answering, self.failing = threading.Event(), set()
        self.open: set[TopicPartition] = set()
        self.closed = Hurried()
        self.waited_ms: dict[TopicPartition, list[int]] = defaultdict(list)
        self.asked: list[TopicPartition] = []
        self.table, self.stopping = LeaseTable(slots=1), Hurried()
        metrics = WorkerMetrics.create("worker")
        self.partitions = Partitions(self.table, None, lambda: self, self.stopping, metrics)
        self.partitions.subscribe(self, [TOPIC])

    def subscribe(self, topics, assigned, revoked, lost) -> None:
        self.assigned, self.lost = assigned, lost

    def fresh_committed(self, partition: TopicPartition, timeout_ms: int):
        self.asked.append(partition)
        assert self.answering.wait(60)
        if partition in self.open:
            self.waited_ms[partition].append(timeout_ms)
            if not self.closed.wait(timeout_ms / 1000):
                raise KafkaTimeoutError
        if partition in self.failing:
            raise KafkaConnectionError
        return CommittedState(partition.partition + 1).encode()

    @property
    def loaded(self) -> dict[TopicPartition, int]:
        """The first unread offset of each partition that is loaded."""
        assignments = self.table._assignments.values()
        return {a.partition: a.committed_state.next_offset for a in assignments if a.loaded}


@pytest.fixture
def group():
    group = Group()
    yield group
    group.answering.set()
    group.table.drop()
    wait_for(lambda: not loaders(), 20, "the threads' ends")


def loaders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "loader"]


def partitions(*numbers: int) -> list[TopicPartition]:
    return [TopicPartition(TOPIC, number) for number in numbers]


def test_a_thousand_partitions_are_loaded_by_a_few_threads(group):
    for first in range(0, 1000, 250):
        group.assigned(partitions(*range(first, first + 250)))
        assert len(loaders()) <= MOST_THREADS
    wait_for(lambda: len(group.asked) == MOST_THREADS, 20, "requests")
    group.answering.set()
    wait_for(lambda: len(group.loaded) == 1000, 20, "all partitions")
    assert group.loaded == {TopicPartition(TOPIC, number): number + 1 for number in range(1000)}
    assert len(group.asked) == 1000


def test_partitions_that_come_later_are_loaded_beside_those_that_wait_for_an_answer(group):
    group.assigned(partitions(0))
    group.assigned(partitions(1))
    wait_for(lambda: len(group.asked) == 2, 20, "both requests")


def test_partitions_whose_state_cannot_be_read_hold_up_no_others(group):
    group.failing = set(partitions(*range(10)))
    group.answering.set()
    group.assigned(partitions(*range(22)))
    wait_for(lambda: len(group.loaded) == 12, 20, "the others")
    group.failing = set()
    wait_for(lambda: len(group.loaded) == 22, 20, "all partitions")


def test_partitions_with_an_open_transaction_go_behind_the_others_and_get_more_time(group):
    group.open = set(partitions(*range(3 * MOST_THREADS)))
    group.answering.set()
    group.assigned(partitions(*range(100)))
    wait_for(lambda: len(group.loaded) == 100 - 3 * MOST_THREADS, 20, "the others")
    wait_for(lambda: all(10_000 in group.waited_ms[p] for p in group.open), 60, "the longest time")
    assert all(waited_ms[0] <= 500 for waited_ms in group.waited_ms.values())
    group.closed.set()
    wait_for(lambda: len(group.loaded) == 100, 20, "all partitions")


def test_a_partition_that_has_left_meanwhile_is_not_asked_for(group):
    group.assigned(partitions(*range(12)))
    wait_for(lambda: len(group.asked) == MOST_THREADS, 20, "requests")
    group.lost(partitions(*range(12)))
    group.answering.set()
    wait_for(lambda: not loaders(), 20, "the threads' ends")
    assert sorted(group.asked) == partitions(*range(MOST_THREADS))


def test_a_new_consumer_loads_its_partitions_while_the_one_before_it_gets_no_answers(group):
    group.assigned(partitions(*range(100)))
    wait_for(lambda: len(group.asked) == MOST_THREADS, 20, "requests")
    group.table.drop()
    newer = Group()
    newer.answering.set()
    group.partitions.subscribe(newer, [TOPIC])
    newer.assigned(partitions(*range(100)))
    wait_for(lambda: len(group.loaded) == 100, 20, "all partitions")


def test_a_worker_that_stops_asks_no_more(group):
    group.assigned(partitions(*range(12)))
    wait_for(lambda: len(group.asked) == MOST_THREADS, 20, "requests")
    group.stopping.set()
    group.answering.set()
    wait_for(lambda: not loaders(), 20, "the threads' ends")
    assert len(group.asked) == MOST_THREADS


def test_a_thread_that_the_system_refuses_is_made_with_the_next_assignment(group, monkeypatch):
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "loader":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        group.assigned(partitions(0, 1))
    monkeypatch.undo()
    group.answering.set()
    group.assigned(partitions(2))
    wait_for(lambda: len(group.loaded) == 3, 20, "all partitions")
