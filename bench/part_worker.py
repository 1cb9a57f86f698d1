"""Compares our transactions with plain publish and commit in one loop, for jobs of 0.1 s in all slots.

Then compares the loop with jobs in all lanes with the same jobs in one lane, and measures how the lanes take
turns (lanes.py).
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from kafka import KafkaConsumer, KafkaProducer

from bench import lanes as lane_turns
from bench.report import Target, compare
from bench.setup import Bench, kafka
from common.jobs.lanes import LaneRules, Ticket
from common.jobs.outcome import Done
from common.kafka import clients, lanes
from common.kafka.consumer import Consumer
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.lanes import DEFAULT_PRIORITY, PRIORITIES
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.worker.worker import Worker, WorkerConfig
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.fakes import FakeHandler, InThread, rules
from tests.support.waiting import wait_for

# The services' own numbers of slots, and twice the larger, where transactions wait for one another.
SLOTS = {2: Target("at least", 0.9), 4: Target("at least", 0.9), 8: None}
JOB_S = 0.1
PARTITIONS = 12
JOBS_A_SLOT = 50
LANES_SLOTS = 4
FIVE_LANES = Target("at least", 0.95)


def run(bench: Bench) -> None:
    ways: dict[str, Callable[[str, int], float]] = {"ours": _transactions, "plain": _plain}
    with kafka(bench) as bootstrap:
        for way in ways.values():
            way(bootstrap, max(SLOTS))  # compiles the broker's code, of which transactions use more
        for slots, target in SLOTS.items():
            ours, plain = _rates(bench, ways, bootstrap, slots)
            what = f"{slots} slots, jobs of {JOB_S:g} s"
            other = "the same loop, plain send and commit"
            bench.add(compare("worker", what, "jobs/s", ours, plain, other, target))
        ways = {"five": partial(_transactions, priorities=PRIORITIES), "one": _transactions}
        five, one = _rates(bench, ways, bootstrap, LANES_SLOTS)
        what = f"five lanes, {LANES_SLOTS} slots, jobs of {JOB_S:g} s"
        bench.add(compare("worker", what, "jobs/s", five, one, "one lane", FIVE_LANES))
        lane_turns.measure(bench, bootstrap)


def _rates(
    bench: Bench, ways: dict[str, Callable[[str, int], float]], bootstrap: str, slots: int
) -> Iterator[float]:
    """Return the median rate of each way, taken in random order. Short runs differ by a tenth and more."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(2 * bench.sizes.repeats - 1):
        for name in bench.shuffle.sample(list(ways), len(ways)):
            rates[name].append(ways[name](bootstrap, slots))
    return (statistics.median(rates[name]) for name in ways)


def _transactions(bootstrap: str, slots: int, priorities: Sequence[int] = (DEFAULT_PRIORITY,)) -> float:
    lab = Lab(bootstrap, PARTITIONS)
    group_id = lab.settings.kafka_group_id
    producer = partial(clients.transactional_producer, lab.settings, group_id)
    return _rate(lab, _consumer(lab), producer, slots, priorities)


def _plain(bootstrap: str, slots: int) -> float:
    lab = Lab(bootstrap, PARTITIONS)
    consumer = _consumer(lab)
    return _rate(lab, consumer, lambda: _Plain(lab, consumer), slots)


def _consumer(lab: Lab) -> GuardedConsumer:
    return clients.consumer(lab.settings, lab.settings.kafka_group_id, 60000)


class _Plain:
    """Stands in for the transactional producer: sends each message and commits each offset by itself."""

    def __init__(self, lab: Lab, consumer: KafkaConsumer):
        self._producer = KafkaProducer(**clients.kafka_options(lab.settings), acks="all")
        self._consumer = consumer
        self._offsets: dict = {}
        self.send = self._producer.send
        self.close = self._producer.close

    def begin_transaction(self) -> None:
        pass

    def send_offsets_to_transaction(self, offsets: dict, metadata: object) -> None:
        self._offsets = offsets

    def commit_transaction(self) -> None:
        self._consumer.commit(self._offsets)


def _rate(
    lab: Lab,
    consumer: GuardedConsumer,
    make_producer: Callable[[], object],
    slots: int,
    priorities: Sequence[int] = (DEFAULT_PRIORITY,),
) -> float:
    """Return the jobs per second while all slots are busy. The jobs lie in the lanes of `priorities`."""
    jobs = JOBS_A_SLOT * slots
    topics = {lanes.topic(lab.settings.kafka_task_topic, priority): priority for priority in priorities}
    for number, priority in enumerate(priorities):
        lab.feed(range(number, jobs, len(priorities)), priority=priority)
    ends_s: list[float] = []

    def sleep(record: object, context: object) -> Done:
        threading.Event().wait(JOB_S)
        result = Message(lab.settings.kafka_result_topic, b"k", b"1")
        return Done((result,), after_commit=lambda: ends_s.append(time.monotonic()))

    worker = Worker(
        WorkerConfig(lab.settings.kafka_group_id, slots, 60000, 5, rules()),
        FakeHandler(sleep),
        lambda: Consumer(consumer),
        lambda: TransactionalProducer(make_producer()),
        lanes=LaneRules(ticket_of=lambda record: Ticket(topics[record.topic])),
    )
    running = InThread(worker.run, list(topics))
    wait_for(lambda: len(ends_s) >= jobs, 300, f"{jobs} jobs")
    worker.stop()
    running.result()
    counted = sorted(ends_s)[slots : jobs - slots]
    return (len(counted) - 1) / (counted[-1] - counted[0])
