"""Commits one batch of requests in one transaction: a small state machine, on the committer's thread.

                  failed before the commit, or no generation yet: again
                    ┌────┐
                    ▼    │
    next batch ─▶ UNCOMMITTED ─── the end of the commit is unknown ──▶ UNCLEAR ◀──┐
                    │    ▲                                              │   └─────┘ cannot be read: again
                    │    └─ read: what is done is answered, ────────────┘
                    ▼       the rest is sent again
                  COMMITTED ───── each request is answered ──────────▶ ANSWERED

    UNCOMMITTED ── Kafka refuses a message for good ─────────────────▶ ANSWERED
    UNCOMMITTED, UNCLEAR ── no lease is left, or the worker stops ───▶ ANSWERED

Before each step:
  1. The group's metadata is taken first: the broker checks this snapshot.
  2. Then the leases are checked. A lease that ended before the snapshot is seen here. A lease that ends after
     it is refused by the broker, since the snapshot's generation is then an old one (KIP-447).
In UNCOMMITTED:
  3. Nothing is sent without a generation: the broker would accept it.
  4. Every message is acknowledged before the offsets and the commit (common.kafka.transaction).
  5. What is asked for meanwhile joins, if its lease holds: 2. is true of it as well.
After each failure the producer is replaced. The start of its successor, which has the same id, ends the old
transaction for good. Only if the commit itself failed (UNCLEAR) may something have been committed. Then the
committed state, read afresh, says what.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from kafka import TopicPartition
from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.structs import OffsetAndMetadata

from common.kafka.fencing import is_member, raise_if_fenced
from common.kafka.transaction import UnclearEnd, Unpublishable
from common.observability.repeats import Repeats
from common.worker import committed_state
from common.worker.commit_queue import CommitQueue
from common.worker.commit_request import CommitRequest, CommitResult, messages, steps
from common.worker.committed_state import CommittedState, Step
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.producer_slot import ProducerSlot

log = logging.getLogger(__name__)

_READ_TIMEOUT_MS = 3000
_NO_GENERATION_WAIT_S = 0.05


class Group(Protocol):
    """The consumer's methods that are called on other threads than the poll thread."""

    def group_metadata(self) -> ConsumerGroupMetadata: ...
    def fresh_committed(self, partition: TopicPartition, timeout_ms: int) -> OffsetAndMetadata | None: ...
    def may_be_forgotten(self) -> bool: ...


class BatchState(Enum):
    UNCOMMITTED = auto()
    """Nothing of the batch is committed, and no open transaction of it can be any more."""
    UNCLEAR = auto()
    """A commit was sent. The broker may have committed the batch."""
    COMMITTED = auto()
    """The broker has the batch. The requests have no answer yet."""
    ANSWERED = auto()
    """Each request has its answer."""


@dataclass
class Batch:
    """The requests that have no answer yet. `is_alone`: no other request may join."""

    requests: list[CommitRequest]
    is_alone: bool = False
    state: BatchState = BatchState.UNCOMMITTED
    failures: int = 0


class BatchCommit:
    """Brings batches to their end, one after the other. Used by the committer's thread alone."""

    def __init__(
        self,
        leases: LeaseTable,
        group: Callable[[], Group],
        queue: CommitQueue,
        producers: ProducerSlot,
        stopping: threading.Event,
        repeats: Repeats,
        pace: Pace = PACE,
    ):
        self._leases, self._group, self._queue = leases, group, queue
        self._producers, self._stopping, self._repeats = producers, stopping, repeats
        self._pace = pace

    def run(self, batch: Batch) -> None:
        """Return once each request is answered. Raises Fenced."""
        while batch.state is not BatchState.ANSWERED:
            batch.state = self._next_state(batch)

    def _next_state(self, batch: Batch) -> BatchState:
        if batch.state is BatchState.COMMITTED:
            self._answer_committed(batch.requests)
            return BatchState.ANSWERED
        metadata = self._group().group_metadata()
        self._drop_lost(batch, metadata.generation_id)
        if self._stopping.is_set():
            for request in batch.requests:
                request.answer(CommitResult.UNKNOWN)
            return BatchState.ANSWERED
        if not batch.requests:
            return BatchState.ANSWERED
        step = self._look if batch.state is BatchState.UNCLEAR else self._send
        try:
            return step(batch, metadata)
        except Unpublishable as refusal:
            self._producers.replace()
            self._refuse(batch, refusal)
            return BatchState.ANSWERED
        except Exception as error:  # noqa: BLE001 - the loop's edge: the client raises more than it documents
            return self._state_after(error, batch, metadata)

    def _send(self, batch: Batch, metadata: ConsumerGroupMetadata) -> BatchState:
        """From UNCOMMITTED. Raises Unpublishable, UnclearEnd, and what the client raises."""
        if not is_member(metadata):
            self._stopping.wait(_NO_GENERATION_WAIT_S)
            return BatchState.UNCOMMITTED

        def offsets() -> Mapping[TopicPartition, OffsetAndMetadata]:
            states = self._leases.proposed(steps(batch.requests))
            return {assignment.partition: state.encode() for assignment, state in states.items()}

        def may_join(request: CommitRequest) -> bool:
            return request.permitted(metadata.generation_id)

        if batch.is_alone or batch.failures:  # what has failed once is tried again as it is
            rounds = iter([messages(batch.requests)])
        else:
            rounds = self._queue.rounds(batch.requests, may_join)
        self._producers.producer().commit(rounds, offsets, metadata)
        return BatchState.COMMITTED

    def _look(self, batch: Batch, metadata: ConsumerGroupMetadata) -> BatchState:
        """From UNCLEAR: answer the finished jobs that the broker has. Raises KafkaError.

        A begun attempt is not looked for: its state is absolute, so committing it again is the same.
        """
        states: dict[TopicPartition, CommittedState] = {}
        done = []
        for request in batch.requests:
            if request.step is not Step.FINISH:
                continue
            partition = request.lease.assignment.partition
            if partition not in states:
                committed = self._group().fresh_committed(partition, _READ_TIMEOUT_MS)
                states[partition] = committed_state.decode(committed)
            if states[partition].is_done(request.lease.offset):
                done.append(request)
        self._answer_committed(done)
        batch.requests = [request for request in batch.requests if request not in done]
        return BatchState.UNCOMMITTED

    def _state_after(self, error: Exception, batch: Batch, metadata: ConsumerGroupMetadata) -> BatchState:
        """Raises Fenced."""
        batch.failures += 1
        leases = str([request.lease for request in batch.requests])
        if self._repeats.is_news(leases, error):
            topics = sorted({m.topic for m in messages(batch.requests)})
            log.warning("transaction of %s (to %s) failed: %r", leases, topics, error)
        group = self._group()
        raise_if_fenced(error, metadata, group.group_metadata(), group.may_be_forgotten())
        self._producers.replace()
        backoff_s = self._pace.commit_backoff_s * batch.failures
        self._stopping.wait(min(self._pace.commit_last_backoff_s, backoff_s))
        return BatchState.UNCLEAR if isinstance(error, UnclearEnd) else batch.state

    def _refuse(self, batch: Batch, refusal: Unpublishable) -> None:
        """Answer the request that was refused. Of several, each alone shows whether it is the one."""
        if len(batch.requests) == 1:
            log.error("%s cannot be published: %s", batch.requests[0].lease, refusal)
            batch.requests[0].refuse(refusal)
            return
        for request in batch.requests:
            self.run(Batch([request], is_alone=True))

    def _answer_committed(self, requests: list[CommitRequest]) -> None:
        # The state first: a job thread that wakes up reads its attempt from it.
        self._leases.apply(steps(requests))
        for request in requests:
            request.answer(CommitResult.COMMITTED)

    def _drop_lost(self, batch: Batch, generation_id: int) -> None:
        """Answer the requests whose leases are lost, and take them out of the batch."""
        is_unclear = batch.state is BatchState.UNCLEAR
        for request in batch.requests:
            if is_unclear and request.step is Step.FINISH and not request.permitted(generation_id):
                # Before any answer: a HAND_BACK beside it would revive its record, if that is done.
                request.lease.assignment.may_be_behind_broker = True
        permitted = [request for request in batch.requests if request.permitted(generation_id)]
        for request in batch.requests:
            if request not in permitted:
                log.info(
                    "lease of %s ended before its %s was committed", request.lease, request.step.name.lower()
                )
                request.answer(CommitResult.UNKNOWN if is_unclear else CommitResult.NOT_COMMITTED)
        batch.requests = permitted
