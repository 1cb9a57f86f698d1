"""The table of every partition that this worker has and of every job that runs here."""

import threading
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from common.kafka.records import Record
from common.worker.committed_state import CommittedState, Step
from common.worker.lease import Assignment, Lease, NotLeased
from common.worker.quarantine import Quarantine


@dataclass(frozen=True)
class Wanted:
    """Orders for the poll thread: seeks by partition, and the partitions to keep paused."""

    seeks: dict[TopicPartition, int]
    paused: set[TopicPartition]


class LeaseTable:
    """Decides which records are leased. Thread-safe; no method does I/O.

    The lock guards every field below it, and the fields of each Assignment and Lease in the table.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic):
        self._slots, self._clock = slots, clock
        self.quarantine = Quarantine()  # has its own lock
        self._lock = threading.RLock()
        self._assignments: dict[TopicPartition, Assignment] = {}
        # The jobs that run here, whatever has become of their leases: by (partition, offset).
        self._running: dict[tuple[TopicPartition, int], Lease] = {}
        self._draining = False
        self._paused = False
        self._held_back: Set[TopicPartition] = frozenset()

    def assign(self, partitions: Iterable[TopicPartition]) -> list[Assignment]:
        """Return new assignments. Each must be loaded before any of its records is taken."""
        with self._lock:
            self.drop(partitions := list(partitions))
            new = [Assignment(partition) for partition in partitions]
            self._assignments.update((a.partition, a) for a in new)
            return new

    def drop(
        self, partitions: Iterable[TopicPartition] | None = None, revoked_in: int | None = None
    ) -> list[Lease]:
        """End the leases of `partitions` (None: of all), cancel their jobs, and return those that ran.

        `revoked_in` is the generation that takes the partitions away in good order, and gives them to nobody.
        A result that waits for its commit can still be committed in that generation.
        """
        dropped: list[Lease] = []
        with self._lock:
            for partition in list(self._assignments) if partitions is None else partitions:
                if (assignment := self._assignments.pop(partition, None)) is not None:
                    dropped += assignment.end(revoked_in)
            return [lease for lease in dropped if self._running.get(_key(lease)) is lease]

    def load(self, assignment: Assignment, committed: OffsetAndMetadata | None) -> None:
        """Take over what the broker has for an assignment. None: nothing is committed yet."""
        with self._lock:
            assignment.load(committed)

    def admit(self, record: Record, wait_s: float = 0.0) -> "Lease | NotLeased":
        """Lease a polled record, or say why that cannot be now. The record is due in `wait_s`."""
        partition = TopicPartition(record.topic, record.partition)
        with self._lock:
            assignment = self._assignments.get(partition)
            if assignment is None or assignment.seek_to is not None:
                return NotLeased.NOT_OURS
            if not assignment.loaded or self._begins_nothing() or partition in self._held_back:
                return NotLeased.NOT_YET
            if not assignment.is_read_up_to(record.offset):
                return NotLeased.NOT_OURS
            if assignment.committed_state.is_done(record.offset) or record.offset in assignment.leases:
                return NotLeased.ALREADY_DONE
            if assignment.must_wait(record.offset, wait_s, self._clock()):
                return NotLeased.NOT_YET
            if (partition, record.offset) in self._running:
                assignment.held_at = record.offset  # an earlier lease's job has not noticed its end yet
                return NotLeased.NOT_YET
            if self._slots_full() or assignment.is_full:
                return NotLeased.NOT_YET
            lease = assignment.add(record)
            self._running[partition, record.offset] = lease
            return lease

    def end(self, lease: Lease) -> None:
        """Forget the job: its thread is through. A record that is ours and not done is read again."""
        with self._lock:
            self._running.pop(_key(lease), None)
            lease.assignment.remove(lease)

    def set_aside(self, lease: Lease) -> None:
        """Keep the lease of a record whose job does not run: it waits for a place (waiting_room.py)."""
        with self._lock:
            lease.holds_slot = False
            self._running.pop(_key(lease), None)

    def resume(self, lease: Lease) -> bool:
        """Note that the job of a lease which was set aside runs. False: the job may not run any more."""
        with self._lock:
            if not lease.live:
                return False
            if self._begins_nothing() or lease.assignment.partition in self._held_back:
                self.end(lease)  # whoever reads the record next does the job
                return False
            self._running[_key(lease)] = lease
            return True

    def leave_slot(self, lease: Lease) -> None:
        """Let another job have the slot."""
        with self._lock:
            lease.holds_slot = False

    def regain_slot(self, lease: Lease) -> bool:
        """Say whether a job that left its slot has one again. Of several that ask, the oldest is next."""
        with self._lock:
            lease.wants_slot = not lease.holds_slot
            running = self._running.values()
            first = next((other for other in running if other.wants_slot), None)
            if first is lease and sum(other.holds_slot for other in running) < self._slots:
                lease.holds_slot, lease.wants_slot = True, False
            return lease.holds_slot

    def wanted(self, assigned: Set[TopicPartition]) -> Wanted:
        """Return the seeks that are due (each given once) and the `assigned` partitions not to be read."""
        with self._lock:
            seeks = {}
            for partition, assignment in self._assignments.items():
                if partition in assigned and (offset := assignment.take_seek()) is not None:
                    seeks[partition] = offset
            full = self._begins_nothing() or self._slots_full()
            return Wanted(seeks, {p for p in assigned if full or not self._readable(p)})

    def _readable(self, partition: TopicPartition) -> bool:
        assignment = self._assignments.get(partition)
        if assignment is None or not assignment.loaded or partition in self._held_back:
            return False
        if (partition, assignment.held_at) in self._running:
            return False
        assignment.held_at = None
        return not assignment.is_full and assignment.due_s <= self._clock()

    def drain(self) -> None:
        """Admit nothing from now on."""
        with self._lock:
            self._draining = True

    @property
    def draining(self) -> bool:
        with self._lock:
            return self._draining

    def pause(self, paused: bool) -> None:
        """Admit nothing as long as `paused`."""
        with self._lock:
            self._paused = paused

    @property
    def paused(self) -> bool:
        with self._lock:
            return self._paused

    def _begins_nothing(self) -> bool:
        return self._draining or self._paused

    def hold_back(self, partitions: Set[TopicPartition]) -> None:
        """Begin nothing on `partitions` until the next call. The jobs that run there go on."""
        with self._lock:
            self._held_back = frozenset(partitions)

    def cancel_all(self) -> None:
        with self._lock:
            for lease in self._running.values():
                lease.cancelled.set()

    def proposed(self, steps: Iterable[tuple[Step, Lease]]) -> dict[Assignment, CommittedState]:
        """Return what the committed state would be after `steps`, by assignment."""
        with self._lock:
            states: dict[Assignment, CommittedState] = {}
            for step, lease in steps:
                state = states.get(lease.assignment, lease.assignment.committed_state)
                states[lease.assignment] = state.after(step, lease.offset)
            return states

    def apply(self, steps: Iterable[tuple[Step, Lease]]) -> None:
        """Note that `steps` are committed. Records that were admitted meanwhile stay in the state."""
        with self._lock:
            for step, lease in steps:
                assignment = lease.assignment
                assignment.committed_state = assignment.committed_state.after(step, lease.offset)

    def attempts(self, lease: Lease) -> int:
        with self._lock:
            return lease.assignment.committed_state.attempts(lease.offset)

    def counted_attempts(self, lease: Lease) -> int:
        """Return how many attempts were begun and not handed back."""
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
