"""The one thread that commits: what a job publishes and the offset it consumed, in one transaction.

Order within a transaction, each step for a reason (rows: KAFKA_CONSUMER.md):
  1. the group's metadata is taken first: what the broker checks is this snapshot;
  2. then the leases are checked: one that ended before the snapshot is seen here, one that ends after it
     is refused by the broker, since its generation is then an old one (KIP-447);
  3. no commit without a generation: the broker would accept it (row 9);
  4. every message's own acknowledgement before the offsets and the commit (row 8, common.kafka.transaction);
  5. what is asked for meanwhile joins, if its lease holds: 2. is true of it as well.
After a failure the producer is replaced (row 7). Its successor has the same id, so that its start ends the
old transaction for good. If it was the commit itself that failed, the committed state, read afresh, then
tells what became of it; before that call nothing can have been committed.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from kafka import KafkaProducer, TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from common.jobs.outcome import nothing
from common.kafka import clients
from common.kafka.fencing import raise_if_fenced
from common.kafka.records import Message
from common.kafka.transaction import UnclearEnd, Unpublishable, publish
from common.observability.repeats import Repeats
from common.waiting import Backoff
from common.worker import committed_state
from common.worker.commit_queue import CommitQueue
from common.worker.commit_request import CommitRequest, CommitResult, messages, steps
from common.worker.committed_state import Step
from common.worker.lease import Lease, LeaseTable

log = logging.getLogger(__name__)

_READ_TIMEOUT_MS = 3000
_MAX_BACKOFF_S = 1.0
_TICK_S = 0.25
# A job whose lease has ended still hears of a transaction that is all but committed.
_LOST_GRACE_S = 1.0


class Group(Protocol):
    """What the committer needs of the consumer, from another thread than the poll thread."""

    def group_metadata(self) -> ConsumerGroupMetadata: ...
    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None: ...
    def may_be_forgotten(self) -> bool: ...


class Committer:
    """Commits attempts and results for every job thread, several that are ready in one transaction."""

    def __init__(
        self,
        leases: LeaseTable,
        group: Callable[[], Group],
        make_producer: Callable[[], KafkaProducer],
        on_fatal: Callable[[BaseException], None],
        max_batch: int = 8,
    ):
        """`group` and `make_producer` are called anew whenever one is needed: both get replaced."""
        self._leases = leases
        self._group = group
        self._make_producer = make_producer
        self._on_fatal = on_fatal
        self._repeats = Repeats()
        self._requests = CommitQueue(max_batch)
        self._producer: KafkaProducer | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finishes what was asked for already, then ends the producer."""
        self._requests.close()
        self._thread.join(timeout_s)
        self._stopping.set()  # past the timeout: an outage must not hold up the end of the process

    def begin(self, lease: Lease) -> bool:
        """Commits one more attempt of the record. False: the lease is lost, do not start."""
        return self._ask(CommitRequest(Step.BEGIN, lease)) is CommitResult.COMMITTED

    def finish(
        self, lease: Lease, messages: Sequence[Message], undo: Callable[[], None] = nothing
    ) -> CommitResult:
        """Publishes and commits. Waits while the lease holds.

        After UNKNOWN `undo` is called, should it turn out later that nothing was committed. Raises
        Unpublishable: nothing is committed, and the lease holds for other messages.
        """
        request = CommitRequest(Step.FINISH, lease, messages, undo=undo)
        # Before it is asked: from here on the record may be done without our knowing, and is not handed back.
        lease.result_answered = request.answered
        return self._ask(request)

    def hand_back(self, lease: Lease) -> None:
        """Takes an attempt back that was stopped in good order: it says nothing against its record."""
        self._ask(CommitRequest(Step.HAND_BACK, lease))

    def resume(self, lease: Lease) -> bool:
        """Lets an attempt that was handed back count again. False: the lease is lost, do not go on."""
        return self._ask(CommitRequest(Step.RESUME, lease)) is CommitResult.COMMITTED

    def set_aside(self, lease: Lease, messages: Sequence[Message]) -> CommitResult:
        """Takes an attempt back whose record waits for a place, and publishes `messages` with that."""
        return self._ask(CommitRequest(Step.HAND_BACK, lease, messages))

    def end_revoked(self, leases: Sequence[Lease], generation: int, timeout_s: float) -> None:
        """Before the group moves on from `generation`, waits for results and hands the other attempts back.

        Nobody else can have their partitions in this generation, and in the next one the broker refuses it.
        Takes at most `timeout_s`.
        """
        answers: list[threading.Event] = []
        for lease in leases:
            answered = lease.result_answered
            if answered is None:
                request = CommitRequest(Step.HAND_BACK, lease, generation=generation)
                self._requests.put(request)
                answered = request.answered
            answers.append(answered)
        deadline_s = time.monotonic() + timeout_s
        for answered in answers:
            answered.wait(max(0.0, deadline_s - time.monotonic()))

    @property
    def ready(self) -> bool:
        """There is a producer: what is asked for can be committed."""
        return self._producer is not None

    def _ask(self, request: CommitRequest) -> CommitResult:
        self._requests.put(request)
        # The client's calls wait for an absent broker without limit (row 14), and a request that comes after
        # the end is read by nobody: no job may wait longer than there is somebody to answer it.
        while not request.answered.wait(_TICK_S):
            if self._stopping.is_set() or not self._thread.is_alive():
                break
            if not request.permitted(self._group().group_metadata().generation_id):
                request.answered.wait(_LOST_GRACE_S)
                break
        return request.leave()

    def _run(self) -> None:
        try:
            self._replace_producer()
            while batch := self._requests.next_batch():
                self._commit(batch)
            if self._producer is not None:
                clients.discard_producer(self._producer)
        except Exception as error:  # noqa: BLE001 - the loop's edge: without this thread no job can end
            self._on_fatal(error)

    def _commit(self, batch: list[CommitRequest], is_alone: bool = False) -> None:
        unclear = False
        failures = 0
        while True:
            metadata = self._group().group_metadata()
            end = CommitResult.UNKNOWN if unclear else CommitResult.NOT_COMMITTED
            batch = self._drop_lost(batch, end, metadata.generation_id)
            if self._stopping.is_set():
                for request in batch:
                    request.answer(CommitResult.UNKNOWN)
                return
            if not batch:
                return
            try:
                if unclear:
                    batch = self._answer_committed(batch)
                    unclear = False
                    continue  # a fresh snapshot and lease check before anything is sent
                if metadata.generation_id < 0 or not metadata.member_id:
                    self._stopping.wait(0.05)
                    continue
                # What has failed once is tried again as it is.
                self._transact(batch, metadata, takes_company=not (is_alone or failures))
            except Unpublishable as error:
                self._replace_producer()
                self._refuse(batch, error)
                return
            except Exception as error:  # noqa: BLE001 - the loop's edge: the client raises more than it documents
                failures += 1
                unclear = unclear or isinstance(error, UnclearEnd)
                leases = str([request.lease for request in batch])
                if self._repeats.is_news(leases, error):
                    topics = sorted({m.topic for m in messages(batch)})
                    log.warning("transaction of %s (to %s) failed: %r", leases, topics, error)
                group = self._group()
                raise_if_fenced(error, metadata, group.group_metadata(), group.may_be_forgotten())
                self._replace_producer()
                self._stopping.wait(min(_MAX_BACKOFF_S, 0.05 * failures))
                continue
            self._answer(batch)
            return

    def _transact(
        self, batch: list[CommitRequest], metadata: ConsumerGroupMetadata, takes_company: bool
    ) -> None:
        """With `takes_company` the batch grows by what joins it."""

        def offsets() -> Mapping[TopicPartition, OffsetAndMetadata]:
            states = self._leases.proposed(steps(batch))
            return {assignment.partition: state.encode() for assignment, state in states.items()}

        def may_join(request: CommitRequest) -> bool:
            return request.permitted(metadata.generation_id)

        rounds = self._requests.rounds(batch, may_join) if takes_company else [messages(batch)]
        publish(rounds, offsets, metadata, self._producer)

    def _refuse(self, batch: list[CommitRequest], refusal: Unpublishable) -> None:
        """Answers the request that was refused; of several, each alone shows whether it is the one."""
        if len(batch) == 1:
            log.error("%s cannot be published: %s", batch[0].lease, refusal)
            batch[0].refuse(refusal)
            return
        for request in batch:
            self._commit([request], is_alone=True)

    def _answer_committed(self, batch: list[CommitRequest]) -> list[CommitRequest]:
        """Answers the finished jobs that the broker has, and returns the rest. Raises KafkaError.

        A begun attempt is not looked for: its state is absolute, so committing it again is the same.
        """
        states = {}
        done = []
        for request in batch:
            if request.step is Step.FINISH:
                partition = request.lease.assignment.partition
                if partition not in states:
                    states[partition] = committed_state.decode(
                        self._group().fresh_committed(partition, _READ_TIMEOUT_MS)
                    )
                if states[partition].is_done(request.lease.offset):
                    done.append(request)
        self._answer(done)
        return [request for request in batch if request not in done]

    def _answer(self, batch: list[CommitRequest]) -> None:
        # The state first: a job thread that wakes up reads its attempt from it.
        self._leases.apply(steps(batch))
        for request in batch:
            request.answer(CommitResult.COMMITTED)

    def _drop_lost(
        self, batch: list[CommitRequest], end: CommitResult, generation_id: int
    ) -> list[CommitRequest]:
        for request in batch:
            is_lost = request.step is Step.FINISH and not request.permitted(generation_id)
            if end is CommitResult.UNKNOWN and is_lost:
                # First: what is handed back beside it would bring its record to life, if it is done.
                request.lease.assignment.may_be_behind_broker = True
        permitted = [request for request in batch if request.permitted(generation_id)]
        for request in batch:
            if request not in permitted:
                log.info("lease of %s lost before its %s", request.lease, request.step.name.lower())
                request.answer(end)
        return permitted

    def _replace_producer(self) -> None:
        if self._producer is not None:
            clients.discard_producer(self._producer)
            self._producer = None
        self._producer = Backoff(0.1, 5.0).first_success(
            self._make_producer, self._stopping, self._no_producer, KafkaError
        )

    def _no_producer(self, error: Exception) -> None:
        if self._repeats.is_news("producer", error):
            log.warning("no transactional producer yet: %r", error)
