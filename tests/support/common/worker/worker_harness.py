"""A worker on a consumer and a broker in memory."""

import threading
from collections import deque
from types import SimpleNamespace

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from common.jobs.outcome import Done
from common.kafka.consumer import Consumer
from common.kafka.records import Message
from common.kafka.transaction import TransactionalProducer
from common.worker.metrics import WorkerMetrics
from common.worker.pace import Pace
from common.worker.waiting_room import NO_PLACES, PlaceRules
from common.worker.worker import Worker, WorkerConfig
from tests.support.common.worker.fakes import TOPIC, FakeBroker, FakeHandler, FakeProducer, InThread, rules
from tests.support.waiting import wait_for

# Nothing here is on another machine, so most waits are a tenth as long. As long as ever are those for an end
# that takes its time on a busy machine: of a transaction, of the committer, of cancelled jobs.
HURRIED = Pace(
    slot_tick_s=0.005,
    place_patience_s=0.05,
    look_every_s=0.01,
    commit_tick_s=0.025,
    commit_backoff_s=0.005,
    commit_last_backoff_s=0.1,
    rebuild_s=0.03,
    connect_again_s=0.1,
)


class FakeConsumer:
    """One partition of a log in memory. `errors` are raised by the next polls, in order."""

    def __init__(self, log: list[bytes], broker: FakeBroker, read_errors: deque[Exception]):
        self._log, self._broker, self._read_errors = log, broker, read_errors
        self._partition = TopicPartition(TOPIC, 0)
        self._position: int | None = None
        self._paused: set[TopicPartition] = set()
        self._listener = None
        self.errors: deque[Exception] = deque()
        self.polls = 0
        self.closed = self.joining = self.silent = self.cut_off = self.withholds = self.follows_itself = False
        self.rejoins = 0

    def share_with(self, needs, on_drained) -> None:
        self.needs, self.drain = needs, on_drained

    def subscribe(self, topics, listener) -> None:
        self._listener = listener

    def poll(self, timeout_ms: int) -> dict:
        assert not self.closed, "polled after its end"
        self.polls += 1
        if self.errors:
            raise self.errors.popleft()
        if self._position is None:
            self._position = 0
            self._listener.on_partitions_assigned([self._partition])
        if self._paused or self._position >= len(self._log):
            threading.Event().wait(0.005)
            return {}
        offset, self._position = self._position, self._position + 1
        raw = SimpleNamespace(
            topic=TOPIC,
            partition=0,
            offset=offset,
            key=b"k",
            value=self._log[offset],
            headers=(),
            timestamp=0,
        )
        return {self._partition: [raw]}

    def assignment(self) -> set[TopicPartition]:
        return set() if self._position is None else {self._partition}

    def is_assigned(self, partition) -> bool:
        return partition in self.assignment()

    def seek(self, partition, offset: int) -> None:
        self._position = offset

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions) -> None:
        self._paused -= set(partitions)

    def has_fetched(self) -> bool:
        return bool(self.assignment() and not self._paused and self._position < len(self._log))

    def known_lag(self) -> dict[TopicPartition, int]:
        return {} if self._position is None else {self._partition: len(self._log) - self._position}

    def lose(self) -> None:
        """Its partition goes to another member."""
        self._listener.on_partitions_revoked([self._partition])

    def group_metadata(self):
        return self._broker.group_metadata()

    def fresh_committed(self, partition, timeout_ms: int):
        if self._read_errors:
            raise self._read_errors.popleft()
        return self._broker.fresh_committed(partition, timeout_ms)

    def is_joining(self) -> bool:
        return self.joining

    def withholds_partitions(self) -> bool:
        return self.withholds

    def follows_its_former_self(self) -> bool:
        return self.follows_itself

    def rejoin(self) -> None:
        self.rejoins += 1
        self.follows_itself = False

    def look_for_ends(self, timeout_ms: int) -> None: ...

    def is_silently_fenced(self) -> bool:
        return self.silent

    def may_be_forgotten(self) -> bool:
        return self._broker.may_be_forgotten()

    def is_cut_off(self) -> bool:
        return self.cut_off

    def close(self, **options) -> None:
        self.closed = True


class WorkerHarness:
    """A worker on such consumers; `now_s` is what it takes for the time, `away` that none can be made."""

    def __init__(
        self,
        run=None,
        log: list[bytes] | None = None,
        slots: int = 2,
        grace_s: float = 20,
        places: PlaceRules = NO_PLACES,
        pace: Pace = HURRIED,
    ):
        self.log = [] if log is None else log
        self.broker = FakeBroker()
        self.consumers: list[FakeConsumer] = []
        self.away = threading.Event()
        self.read_errors: deque[Exception] = deque()
        self.make_producer = lambda: FakeProducer(self.broker)
        self.now_s = 100.0
        self.may_begin = True
        self.metrics = WorkerMetrics.create("worker")
        config = WorkerConfig("group", slots, 60_000, grace_s, rules(), pace=pace)
        handler = FakeHandler(
            run or (lambda record, context: Done((Message("results", b"k", record.value),)))
        )
        self.worker = Worker(
            config,
            handler,
            self._make_consumer,
            lambda: TransactionalProducer(self.make_producer()),
            lambda: self.now_s,
            self.metrics,
            places,
            lambda: self.may_begin,
        )

    def _make_consumer(self) -> Consumer:
        if self.away.is_set():
            raise KafkaConnectionError
        self.consumers.append(FakeConsumer(self.log, self.broker, self.read_errors))
        return Consumer(self.consumers[-1], lambda: self.now_s)

    def start(self) -> InThread:
        return InThread(self.worker.run, [TOPIC])

    @property
    def consumer(self) -> FakeConsumer:
        return self.consumers[-1]

    def wait_for_results(self, count: int) -> list[bytes]:
        wait_for(lambda: len(self.broker.messages) >= count, 20, f"{count} results")
        return sorted(message.value for message in self.broker.messages)
