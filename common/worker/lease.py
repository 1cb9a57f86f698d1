"""Leases on records, and the assignments of partitions that leases are bound to.

A lease is (partition, offset, assignment). When a partition leaves, its leases end at once in memory, and
their jobs are asked to stop. The broker decides whether the work of a stale lease is still published: it
refuses an old generation.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from common.jobs.lanes import NO_TICKET, Ticket
from common.kafka.records import Record
from common.worker.committed_state import CommittedState, Step, decode

log = logging.getLogger(__name__)

# Each leased record is named in its partition's committed metadata, for which brokers allow 4096 bytes.
MOST_OPEN = 176
# So many records of a partition are read and not begun. Only among these can one user's record pass another's
# (ready_records.py). The number above leaves room for as many as may wait for a place, and for running jobs.
MOST_READY = 96


class Assignment:
    """One partition, from the moment that the group gives it to us until it leaves.

    The lock of the LeaseTable guards each field unless its comment says otherwise. The methods are called
    under that lock.
    """

    def __init__(self, partition: TopicPartition):
        self.partition = partition  # constant
        # Becomes False once, under the lock. Any thread reads the field without the lock: a thread that still
        # reads True does no harm, since the broker refuses the generation of an assignment that has ended.
        self.live = True
        self.loaded = False
        self.committed_state = CommittedState()
        # A transaction may have been committed without our knowing: `committed_state` may be behind the
        # broker's. Becomes True once, set by the committer's thread. Any thread reads it without the lock.
        self.may_be_behind_broker = False
        self.seek_to: int | None = None
        # where the reader was last sent; None before there was a seek
        self.read_from: int | None = None
        # the record whose job from an earlier assignment still runs here
        self.held_at: int | None = None
        # the record at a retry topic's head, and when it is due by the table's clock
        self.waits_for: int | None = None
        self.due_s = 0.0
        self.leases: dict[int, Lease] = {}

    def load(self, committed: OffsetAndMetadata | None) -> None:
        """Take over what the broker has. Without a commit the client's reset rule decides where to read."""
        self.committed_state = decode(committed)
        self.seek_to = None if committed is None else committed.offset
        self.loaded = True

    def end(self, revoked_in: int | None) -> "list[Lease]":
        """End the leases, ask their jobs to stop, and return the leases."""
        leases = list(self.leases.values())
        for lease in leases:
            # Set `revoked_in` before `live` becomes False: the committer reads both without the lock. A lease
            # that was stopped earlier is not live. A failure that the end itself causes is published later.
            if lease.live and lease.result_asked:
                lease.revoked_in = revoked_in
        self.live = False
        for lease in leases:
            lease.cancelled.set()
        return leases

    def take_seek(self) -> int | None:
        """Return the offset to seek to, once; None where no seek is due."""
        due, self.seek_to = self.seek_to, None
        if due is not None:
            self.read_from = due
        return due

    def is_read_up_to(self, offset: int) -> bool:
        """Return whether no record below `offset` has still to be read. If one has, a seek to it is due.

        Reading goes upward from `read_from`. An unfinished record from there on that was not seen is no
        longer in the log (retention): it counts as done, since it would hold the committed offset back for
        ever. A record below `read_from` was not looked for yet.
        """
        unread = [other for other in self._unleased() if other < offset]
        if unread and self.read_from is not None and min(unread) < self.read_from:
            self.seek_to = min(unread)
            return False
        for gone in unread:
            log.warning("%s@%d is no longer in the log: passed over", self.partition, gone)
            self.committed_state = self.committed_state.finished(gone)
        return True

    def _unleased(self) -> list[int]:
        """Return the offsets of the records that are unfinished and that nobody works on."""
        return [offset for offset in self.committed_state.active if offset not in self.leases]

    def must_wait(self, offset: int, wait_s: float, now_s: float) -> bool:
        """Return whether the record is not due yet. `wait_s` is how long it has to wait from now on.

        A record waits once, by a clock that does not jump. A record that was begun before has waited.
        """
        if wait_s > 0 and self.waits_for != offset and not self.committed_state.attempts(offset):
            self.waits_for, self.due_s = offset, now_s + wait_s
        return self.waits_for == offset and self.due_s > now_s

    @property
    def is_full(self) -> bool:
        return len(self.leases) >= MOST_OPEN or self.ready_count >= MOST_READY

    @property
    def ready_count(self) -> int:
        """The number of records that are read and not begun."""
        return sum(lease.is_ready for lease in self.leases.values())

    def add(self, record: Record, ticket: Ticket) -> "Lease":
        lease = Lease(self, record, ticket)
        self.committed_state = self.committed_state.admitted(record.offset)
        self.leases[record.offset] = lease
        return lease

    def remove(self, lease: "Lease") -> None:
        """Forget the lease. If its record is still ours and not done, have the record read again."""
        self.leases.pop(lease.offset, None)
        if lease.live and not self.committed_state.is_done(lease.offset):
            # Not to this record alone: a lower one may be unread too, whose seek is done and would be undone.
            self.seek_to = min(self._unleased())
            self.waits_for, self.due_s = None, 0.0  # the record is read before the head that waits


class Lease:
    """The right to work on one record, until its assignment ends or `cancelled` is set."""

    def __init__(self, assignment: Assignment, record: Record, ticket: Ticket = NO_TICKET):
        self.assignment = assignment  # constant
        self.record = record  # constant
        self.ticket = ticket  # constant
        self.cancelled = threading.Event()
        # Set once the request for the result's commit is answered; None before there is a request. The job's
        # thread writes the field, before it asks. The client's I/O thread and the committer read it.
        self.result_answered: threading.Event | None = None
        # The generation in which the partition was revoked while that request waited. Written under the
        # table's lock, before `live` becomes False. The committer and the job's thread read it without.
        self.revoked_in: int | None = None
        # Guarded by the table's lock. The record is read and not begun.
        self.is_ready = True
        # Guarded by the table's lock. A job holds its slot until its work is done. Then it only waits for its
        # transaction, and the next record's attempt can be committed in the very same transaction.
        self.holds_slot = False
        # Guarded by the table's lock. The job waits for a slot.
        self.wants_slot = False
        # Guarded by the table's lock. The job has had a slot, so the next one is its own by right.
        self.had_slot = False
        # Guarded by the table's lock. An attempt was begun under this lease and counts: it was
        # not handed back. Earlier attempts ended in crashes, and no step of this lease takes those back.
        self.attempt_counts = False

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def live(self) -> bool:
        return self.assignment.live and not self.cancelled.is_set()

    @property
    def result_asked(self) -> bool:
        return self.result_answered is not None

    def __repr__(self) -> str:
        partition = self.assignment.partition
        return f"{partition.topic}[{partition.partition}]@{self.offset}"


# whether an attempt must count before the step
_COUNTS_BEFORE = {Step.HAND_BACK: True, Step.RESUME: False}


class Steps:
    """The effect of some steps: the states of assignments, and which leases have an attempt that counts.

    Used under the table's lock.
    """

    def __init__(self, steps: Iterable[tuple[Step, Lease]]):
        self.states: dict[Assignment, CommittedState] = {}
        self._counting: dict[Lease, bool] = {}
        for step, lease in steps:
            self._add(step, lease)

    def take_over(self) -> None:
        """Note that the steps are committed."""
        for assignment, state in self.states.items():
            assignment.committed_state = state
        for lease, counts in self._counting.items():
            lease.attempt_counts = counts

    def _add(self, step: Step, lease: Lease) -> None:
        """Add a step. HAND_BACK changes nothing unless an attempt of this lease counts; RESUME if one does.

        A job and, when its partition is revoked, the client's I/O thread may both hand one attempt back. Or
        no attempt has begun, since the record waits for its turn: its earlier attempts are those of crashes.
        """
        assignment = lease.assignment
        state = self.states.get(assignment, assignment.committed_state)
        counts = self._counting.get(lease, lease.attempt_counts)
        if counts is _COUNTS_BEFORE.get(step, counts):
            state = state.after(step, lease.offset)
        # An unchanged state is committed too: the broker may have a BEGIN whose end is unknown here and whose
        # job never began.
        self.states[assignment] = state
        self._counting[lease] = step in (Step.BEGIN, Step.RESUME)


class NotLeased(Enum):
    """Why a polled record was not leased."""

    ALREADY_DONE = auto()
    """The record is done, or runs under a lease of this assignment."""
    NOT_YET = auto()
    """The record must be read again: put it back with a seek."""
    NOT_OURS = auto()
    """The partition has left, or a seek is due that will decide what is read."""


@dataclass(frozen=True)
class Wanted:
    """Orders for the poll thread: seeks by partition, and the partitions to keep paused."""

    seeks: dict[TopicPartition, int]
    paused: set[TopicPartition]
