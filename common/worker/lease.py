"""Who may do what: leases on records, each bound to one assignment of one partition.

A lease is (partition, offset, assignment). When a partition leaves, its leases end in memory and at once,
and its jobs are told to stop; whether a stale one still gets its work published is decided by the broker,
which refuses an old generation.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from enum import Enum, auto

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from common.kafka.records import Record
from common.worker import committed_state
from common.worker.committed_state import CommittedState, Step
from common.worker.quarantine import Quarantine

log = logging.getLogger(__name__)

# Each leased record is named in its partition's committed metadata, for which brokers allow 4096 bytes.
_MOST_OPEN = 128


class Assignment:
    """One partition as it was assigned to us once. Guarded by the table's lock."""

    def __init__(self, partition: TopicPartition):
        self.partition = partition
        self.live = True
        self.loaded = False
        self.committed_state = CommittedState()
        # a transaction of it may have been committed unseen: `committed_state` may be behind the broker's
        self.may_be_behind_broker = False
        self.seek_to: int | None = None
        self.held_at: int | None = None
        # the head of a retry topic, and when it is due by the table's clock
        self.waits_for: int | None = None
        self.due_s = 0.0
        self.leases: dict[int, Lease] = {}

    def end(self, revoked_in: int | None) -> "list[Lease]":
        """Ends its leases, tells their jobs to stop, and returns them."""
        leases = list(self.leases.values())
        for lease in leases:
            # Before its end, so that the committer never sees it ended without. A failure that the end itself
            # causes is asked for later, and one of an earlier stop is not live.
            if lease.live and lease.result_asked:
                lease.revoked_in = revoked_in
        self.live = False
        for lease in leases:
            lease.cancelled.set()
        return leases


class Lease:
    """The right to work on one record, until its assignment ends or `cancel` is called."""

    def __init__(self, assignment: Assignment, record: Record):
        self.assignment = assignment
        self.record = record
        self.cancelled = threading.Event()
        # of the request for its result's commit, once there is one
        self.result_answered: threading.Event | None = None
        # the generation in which its partition was revoked while that request waited
        self.revoked_in: int | None = None
        # Until its work is done. What is left then is to wait for a transaction, and the next record's
        # attempt can be committed in the very same one.
        self.holds_slot = True
        # It left its slot and waits for one again.
        self.wants_slot = False

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


class NotLeased(Enum):
    """Why a polled record was not leased."""

    ALREADY_DONE = auto()
    """It is done, or runs under a lease of this assignment."""
    NOT_YET = auto()
    """It must be read again: put it back with a seek."""
    NOT_OURS = auto()
    """Its partition has left, or a seek is due that will decide what is read."""


@dataclass(frozen=True)
class Wanted:
    """What the poll thread must do now: seeks by partition, and the partitions to keep paused."""

    seeks: dict[TopicPartition, int]
    paused: set[TopicPartition]


class LeaseTable:
    """Every partition that we have and every job that runs here. Thread-safe; no method does I/O."""

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic):
        self._slots, self._clock = slots, clock
        self._lock = threading.RLock()
        self._assignments: dict[TopicPartition, Assignment] = {}
        # Jobs that run here, whatever has become of their leases: by (partition, offset).
        self._running: dict[tuple[TopicPartition, int], Lease] = {}
        self._draining = False
        self._paused = False
        self._held_back: Set[TopicPartition] = frozenset()
        self.quarantine = Quarantine()

    def assign(self, partitions: Iterable[TopicPartition]) -> list[Assignment]:
        """New assignments, to be loaded before any record of theirs is taken."""
        with self._lock:
            self.drop(partitions := list(partitions))
            new = [Assignment(partition) for partition in partitions]
            self._assignments.update((a.partition, a) for a in new)
            return new

    def drop(
        self, partitions: Iterable[TopicPartition] | None = None, revoked_in: int | None = None
    ) -> list[Lease]:
        """Ends the leases of `partitions` (None: of all), cancels their jobs, and returns those that ran.

        `revoked_in`: the generation that takes them away in good order, and gives them to nobody. A result
        that waits for its commit can still be committed in it.
        """
        dropped: list[Lease] = []
        with self._lock:
            for partition in list(self._assignments) if partitions is None else partitions:
                if (assignment := self._assignments.pop(partition, None)) is not None:
                    dropped += assignment.end(revoked_in)
            return [lease for lease in dropped if self._running.get(_key(lease)) is lease]

    def load(self, assignment: Assignment, committed: OffsetAndMetadata | None) -> None:
        """Says what the broker has for an assignment. Without a commit the client's reset rule decides."""
        with self._lock:
            assignment.committed_state = committed_state.decode(committed)
            assignment.seek_to = None if committed is None else committed.offset
            assignment.loaded = True

    def admit(self, record: Record, wait_s: float = 0.0) -> "Lease | NotLeased":
        """A lease for a polled record, or why there is none now. `wait_s` is how long it has to wait."""
        partition = TopicPartition(record.topic, record.partition)
        with self._lock:
            assignment = self._assignments.get(partition)
            if assignment is None or assignment.seek_to is not None:
                return NotLeased.NOT_OURS
            if not assignment.loaded or self._begins_nothing() or partition in self._held_back:
                return NotLeased.NOT_YET
            assignment.committed_state = self._without_vanished(assignment, record.offset)
            if assignment.committed_state.is_done(record.offset) or record.offset in assignment.leases:
                return NotLeased.ALREADY_DONE
            if self._waits(assignment, record.offset, wait_s):
                return NotLeased.NOT_YET
            if (partition, record.offset) in self._running:
                assignment.held_at = record.offset  # an earlier lease's job has not noticed its end yet
                return NotLeased.NOT_YET
            if self._slots_full() or len(assignment.leases) >= _MOST_OPEN:
                return NotLeased.NOT_YET
            lease = Lease(assignment, record)
            assignment.committed_state = assignment.committed_state.admitted(record.offset)
            assignment.leases[record.offset] = lease
            self._running[partition, record.offset] = lease
            return lease

    def _waits(self, assignment: Assignment, offset: int, wait_s: float) -> bool:
        """A record waits once, by a clock that does not jump; one that was begun before has waited."""
        if wait_s > 0 and assignment.waits_for != offset and not assignment.committed_state.attempts(offset):
            assignment.waits_for, assignment.due_s = offset, self._clock() + wait_s
        return assignment.waits_for == offset and assignment.due_s > self._clock()

    @staticmethod
    def _without_vanished(assignment: Assignment, offset: int) -> CommittedState:
        """Reading goes upward from the first unfinished record: one below, and not running, is in the log no
        more (retention). Kept, it would hold the committed offset back for ever."""
        vanished = [o for o in assignment.committed_state.active if o < offset and o not in assignment.leases]
        state = assignment.committed_state
        for gone in vanished:
            log.warning("%s@%d is no longer in the log: passed over", assignment.partition, gone)
            state = state.finished(gone)
        return state

    def end(self, lease: Lease) -> None:
        """The job's thread is through with it: a record of ours that is not done then is read again."""
        with self._lock:
            assignment = lease.assignment
            self._running.pop(_key(lease), None)
            assignment.leases.pop(lease.offset, None)
            if lease.live and not assignment.committed_state.is_done(lease.offset):
                due = assignment.seek_to
                assignment.seek_to = lease.offset if due is None else min(due, lease.offset)
                assignment.waits_for, assignment.due_s = None, 0.0  # it is read before the head that waits

    def set_aside(self, lease: Lease) -> None:
        """Keeps the lease of a record whose job does not run: it waits for a place (waiting_room.py)."""
        with self._lock:
            lease.holds_slot = False
            self._running.pop(_key(lease), None)

    def resume(self, lease: Lease) -> bool:
        """Notes that the job of a lease which was set aside runs. False: it may not run any more."""
        with self._lock:
            if not lease.live:
                return False
            if self._begins_nothing() or lease.assignment.partition in self._held_back:
                self.end(lease)  # who reads the record next does it
                return False
            self._running[_key(lease)] = lease
            return True

    def regain_slot(self, lease: Lease) -> bool:
        """Whether a job that left its slot has one again. Of several that ask the first to run is next."""
        with self._lock:
            lease.wants_slot = not lease.holds_slot
            running = self._running.values()
            first = next((other for other in running if other.wants_slot), None)
            if first is lease and sum(other.holds_slot for other in running) < self._slots:
                lease.holds_slot, lease.wants_slot = True, False
            return lease.holds_slot

    def wanted(self, assigned: set[TopicPartition]) -> Wanted:
        """Seeks that are due (each given once) and partitions that must not be read, of `assigned`."""
        with self._lock:
            seeks = {}
            for partition, assignment in self._assignments.items():
                if assignment.seek_to is not None and partition in assigned:
                    seeks[partition] = assignment.seek_to
                    assignment.seek_to = None
            full = self._begins_nothing() or self._slots_full()
            return Wanted(seeks, {p for p in assigned if full or not self._readable(p)})

    def _readable(self, partition: TopicPartition) -> bool:
        assignment = self._assignments.get(partition)
        if assignment is None or not assignment.loaded or partition in self._held_back:
            return False
        if (partition, assignment.held_at) in self._running:
            return False
        assignment.held_at = None
        if len(assignment.leases) >= _MOST_OPEN:
            return False
        return assignment.due_s <= self._clock()

    def drain(self) -> None:
        """Admits nothing from now on."""
        with self._lock:
            self._draining = True

    @property
    def draining(self) -> bool:
        return self._draining

    def pause(self, paused: bool) -> None:
        """Admits nothing, as long as it is paused."""
        self._paused = paused

    @property
    def paused(self) -> bool:
        return self._paused

    def _begins_nothing(self) -> bool:
        return self._draining or self._paused

    def hold_back(self, partitions: Set[TopicPartition]) -> None:
        """Begins nothing on `partitions` until another call says otherwise; what runs there goes on."""
        with self._lock:
            self._held_back = frozenset(partitions)

    def cancel_all(self) -> None:
        with self._lock:
            for lease in self._running.values():
                lease.cancelled.set()

    def proposed(self, steps: Iterable[tuple[Step, Lease]]) -> dict[Assignment, CommittedState]:
        """What the committed state would be after `steps`, by assignment."""
        with self._lock:
            states: dict[Assignment, CommittedState] = {}
            for step, lease in steps:
                state = states.get(lease.assignment, lease.assignment.committed_state)
                states[lease.assignment] = state.after(step, lease.offset)
            return states

    def apply(self, steps: Iterable[tuple[Step, Lease]]) -> None:
        """The same, after it was committed. Records admitted meanwhile stay in the state."""
        with self._lock:
            for step, lease in steps:
                lease.assignment.committed_state = lease.assignment.committed_state.after(step, lease.offset)

    def attempts(self, lease: Lease) -> int:
        with self._lock:
            return lease.assignment.committed_state.attempts(lease.offset)

    def counted_attempts(self, lease: Lease) -> int:
        """Attempts that were begun and not handed back."""
        with self._lock:
            return lease.assignment.committed_state.counted_attempts(lease.offset)

    @property
    def running_count(self) -> int:
        with self._lock:
            return len(self._running)

    @property
    def busy(self) -> set[TopicPartition]:
        """The partitions whose records are being worked on under leases that hold."""
        with self._lock:
            return {lease.assignment.partition for lease in self._running.values() if lease.live}

    @property
    def slots_full(self) -> bool:
        with self._lock:
            return self._slots_full()

    def _slots_full(self) -> bool:
        return sum(lease.holds_slot or lease.wants_slot for lease in self._running.values()) >= self._slots

    @property
    def all_positioned(self) -> bool:
        """Every partition that we have is loaded and stands where it should be read."""
        with self._lock:
            return all(a.loaded and a.seek_to is None for a in self._assignments.values())

    @property
    def partitions(self) -> set[TopicPartition]:
        with self._lock:
            return set(self._assignments)


def _key(lease: Lease) -> tuple[TopicPartition, int]:
    return lease.assignment.partition, lease.offset
