"""In-memory stand-ins behind the worker's own small interfaces: a group, a transactional producer, jobs."""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kafka import TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from common.errors import Cancelled, JobError, PermanentError, TransientError
from common.jobs import retry
from common.jobs.handler import Handler, Job, JobContext
from common.jobs.outcome import Done, Failed, Outcome
from common.jobs.places import Claim
from common.jobs.retry import Decision, GivenUp, Retry, RetryPolicy, RetrySchedule
from common.jobs.settlement import JobRules
from common.kafka.records import Message, Record
from common.tasks import messages
from common.tasks.job_status import Outbox, Statuses
from common.waiting import StopCheck
from common.worker.lease import Assignment, Lease
from common.worker.lease_table import LeaseTable

TOPIC = "tasks"


class NoOutbox:
    """An Outbox that sends nothing, for jobs whose status nobody reads."""

    def put(self, job: object, message: Message) -> None: ...

    def drop(self, job: object) -> None: ...


def record(offset: int, partition: int = 0, **fields) -> Record:
    return Record(
        **{"topic": TOPIC, "partition": partition, "offset": offset, "key": b"k", "value": b"v"} | fields
    )


def partition(number: int = 0) -> TopicPartition:
    return TopicPartition(TOPIC, number)


def loaded(table: LeaseTable, number: int = 0, committed: OffsetAndMetadata | None = None) -> Assignment:
    """A partition that is assigned, loaded, and stands where it should be read."""
    (assignment,) = table.assign([partition(number)])
    table.load(assignment, committed)
    table.wanted({partition(number)})
    return assignment


def leased(table: LeaseTable, offset: int, number: int = 0) -> Lease:
    lease = admitted(table, offset, number)
    assert table.begin(lease), lease
    return lease


def admitted(table: LeaseTable, offset: int, number: int = 0, **fields) -> Lease:
    lease = table.admit(record(offset, number), **fields)
    assert isinstance(lease, Lease), lease
    return lease


def rules(max_attempts: int = 3, delays_s: Sequence[int] = (30, 300), now_s: float = 0.0) -> JobRules:
    return JobRules("dead", max_attempts, RetryPolicy(TOPIC, delays_s), lambda: now_s)


class FakeBroker:
    """What has been committed, and the group's current generation. `offsets` is what a fresh reader gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.transactions: list[list[Message]] = []
        self.group = ConsumerGroupMetadata("group", 1, "member-1", "w0")
        self.reads = 0
        self.forgets = False
        self.generations: list[int] = []

    def group_metadata(self) -> ConsumerGroupMetadata:
        return self.group

    def may_be_forgotten(self) -> bool:
        return self.forgets

    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None:
        self.reads += 1
        return self.offsets.get(partition)

    def commit(self, messages: Sequence[Message], offsets: dict) -> None:
        self.messages += messages
        self.transactions.append(list(messages))
        self.offsets.update(offsets)


class FakeAck:
    """The future of one sent message."""

    def __init__(self, error: Exception | None = None):
        self.exception = error

    def get(self, timeout: float) -> None:
        if self.exception is not None:
            raise self.exception


class FakeProducer:
    """A transactional producer whose steps can be made to fail, each by the next error of its list.

    `on(step)` is called with "begin", "send", "offsets", "commit" and "committed" (after its effect) and may
    raise. `ack` says what becomes of a message.
    """

    def __init__(
        self,
        broker: FakeBroker,
        on: Callable[[str], None] = lambda step: None,
        ack: Callable[[Message], Exception | None] = lambda message: None,
    ):
        self._broker, self._on, self._ack = broker, on, ack
        self.closed = False
        self._sent: list[Message] = []
        self._offsets: dict = {}

    def begin_transaction(self) -> None:
        self._on("begin")
        self._sent, self._offsets = [], {}

    def send(self, topic, key=None, value=None, headers=()) -> FakeAck:
        self._on("send")
        message = Message(topic, key, value, tuple(headers))
        self._sent.append(message)
        return FakeAck(self._ack(message))

    def send_offsets_to_transaction(self, offsets, metadata) -> None:
        self._on("offsets")
        # As the real one: it takes a generation of -1.
        if metadata.generation_id not in (-1, self._broker.group.generation_id):
            raise KafkaError("an old generation")
        self._broker.generations.append(metadata.generation_id)
        self._offsets = dict(offsets)

    def commit_transaction(self) -> None:
        self._on("commit")
        self._broker.commit(self._sent, self._offsets)
        self._on("committed")

    def close(self, timeout=None) -> None:
        self.closed = True


class Script:
    """Raises, at the given steps, the given errors once each, in order; counts every step."""

    def __init__(self, **errors: Sequence[Exception | None]):
        self._errors = {step: list(given) for step, given in errors.items()}
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        left = self._errors.get(step)
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    def next_time(self, **errors: Exception) -> None:
        """Raises each error once, when its step comes next."""
        self._errors.update((step, [error]) for step, error in errors.items())

    def count(self, step: str) -> int:
        return self.steps.count(step)


class InThread:
    """Runs a call beside the test; `result()` is what it returned, or raises what it raised."""

    def __init__(self, call: Callable, *args):
        self._value, self._error = None, None

        def run() -> None:
            try:
                self._value = call(*args)
            except Exception as error:  # noqa: BLE001 - passed on by result()
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def result(self, timeout_s: float = 20):
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "no answer"
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()


@dataclass
class FakeContext:
    """A JobContext; `cancel_after` checks later the job must stop. `has_place` is the answer to any claim."""

    attempt: int = 1
    handed_back: int = 0
    cancel_after: int | None = None
    has_place: bool = True
    checks: int = field(default=0, init=False)
    claims: list[Claim] = field(default_factory=list, init=False)
    steps: list[str] = field(default_factory=list, init=False)

    @property
    def counted_attempts(self) -> int:
        return self.attempt - self.handed_back

    def check(self) -> None:
        self.checks += 1
        if self.cancel_after is not None and self.checks > self.cancel_after:
            raise Cancelled

    def wait(self, timeout_s: float) -> None:
        self.check()

    def take_place(self, claim: Claim) -> bool:
        self.claims.append(claim)
        return self.has_place

    def leave_place(self) -> None:
        self.steps.append("leave_place")

    def leave_slot(self) -> None:
        self.steps.append("leave_slot")

    def regain_slot(self, check: StopCheck | None = None) -> None:
        self.steps.append("regain_slot")


class FakeHandler:
    """A Handler made of two functions, which get the record as it is. `give_up` is called without a retry."""

    def __init__(
        self,
        run: Callable[[Record, object], Outcome],
        give_up: Callable[[Record, JobError, object], Done] = lambda record, error, context: Done(
            (Message("results", record.key, error.message.encode()),)
        ),
        retries: int = 0,
    ):
        self.retries = retries
        self._run, self._give_up = run, give_up

    def decode(self, record: Record) -> bytes | None:
        return record.value

    def run(self, job: Job[bytes | None], context: JobContext) -> Outcome:
        return self._run(job.record, context)

    def schedule(self, error: TransientError) -> RetrySchedule:
        return RetrySchedule("job", self.retries)

    def after_failure(
        self, job: Job[bytes | None], failed: Failed, decision: Decision, context: JobContext
    ) -> Done:
        if isinstance(decision, Retry):
            return Done()
        done = self._give_up(job.record, failed.error, context)
        letters = () if isinstance(failed.error, PermanentError) else (decision.letter,)
        return replace(done, messages=(*done.messages, *letters))


def job_of(handler: Handler[Any], record: Record) -> Job[Any]:
    """Returns the record as the worker hands it to its handler."""
    return Job(record, handler.decode(record), retry.history(record))


def run(handler: Handler[Any], record: Record, context: JobContext) -> Outcome:
    """Returns the handler's outcome for a record that it can decode."""
    return handler.run(job_of(handler, record), context)


def given_up(handler: Handler[Any], record: Record, error: JobError, context: JobContext) -> Done:
    """Returns what the handler publishes for a record that is not tried again."""
    letter = Message("dead", record.key, record.value)
    return handler.after_failure(job_of(handler, record), Failed(error), GivenUp(letter), context)


def waiting_until(
    handler: Handler[Any], record: Record, error: JobError, at: float, context: JobContext
) -> Done:
    """Returns what the handler publishes for a record that is tried again at `at`."""
    waiting = Message(f"{TOPIC}_retry_30s", record.key, record.value)
    return handler.after_failure(job_of(handler, record), Failed(error), Retry(at, waiting), context)


def statuses(outbox: Outbox | None = None, now_s: float = 99.0) -> Statuses:
    """Of a service whose passing statuses go to `outbox`, or nowhere."""
    return Statuses("status", outbox or NoOutbox(), lambda: now_s)


def numbered(topic: str = "results") -> Callable[[], Message]:
    """Makes messages that differ."""
    numbers = itertools.count(1)
    return lambda: Message(topic, b"k", str(next(numbers)).encode())


class MemoryOutbox:
    """An Outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.dropped: list[object] = []

    def put(self, job: object, message: Message) -> None:
        self.sent.append(message)

    def drop(self, job: object) -> None:
        self.dropped.append(job)

    @property
    def statuses(self) -> list[messages.Status]:
        return [messages.decode_status(message.value) for message in self.sent]
