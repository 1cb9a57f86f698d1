"""The table of every partition that this worker has and of every job that runs here."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Set

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from common.jobs.lanes import NO_TICKET, Ticket
from common.kafka.records import Record
from common.worker.committed_state import CommittedState, Step
from common.worker.lease import Assignment, Lease, NotLeased, Steps, Wanted
from common.worker.quarantine import Quarantine
from common.worker.running_jobs import RunningJobs


class LeaseTable:
    """Decides which records are leased. Thread-safe; no method does I/O.

    The lock guards every field below it, and the fields of each Assignment and Lease in the table.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.quarantine = Quarantine()  # has its own lock
        self._lock = threading.RLock()
        self._assignments: dict[TopicPartition, Assignment] = {}
        self._running = RunningJobs(slots)
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
            return [lease for lease in dropped if self._running.has(lease)]

    def load(self, assignment: Assignment, committed: OffsetAndMetadata | None) -> None:
        """Take over what the broker has for an assignment. None: nothing is committed yet."""
        with self._lock:
            assignment.load(committed)

    def admit(self, record: Record, wait_s: float = 0.0, ticket: Ticket = NO_TICKET) -> "Lease | NotLeased":
        """Lease a polled record, or say why that cannot be now. The record is due in `wait_s`.

        The record is ready then: its job runs from `begin` on.
        """
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
            if assignment.is_full:
                return NotLeased.NOT_YET
            return assignment.add(record, ticket)

    def begin(self, lease: Lease) -> bool:
        """Give a ready lease a slot. False: there is none, or the lease has ended or may not begin now."""
        with self._lock:
            if not lease.live or self._must_wait(lease) or self._running.slots_full:
                return False
            lease.is_ready, lease.holds_slot, lease.had_slot = False, True, True
            self._running.add(lease)
            return True

    def end(self, lease: Lease) -> None:
        """Forget the job: its thread is through. A record that is ours and not done is read again."""
        with self._lock:
            self._running.remove(lease)
            lease.assignment.remove(lease)

    def set_aside(self, lease: Lease) -> None:
        """Keep the lease of a record whose job does not run: it waits for a place (waiting_room.py)."""
        with self._lock:
            lease.holds_slot = lease.wants_slot = lease.had_slot = False
            self._running.remove(lease)

    def resume(self, lease: Lease) -> bool:
        """Note that the job of a lease which was set aside runs. False: the job may not run any more."""
        with self._lock:
            if not lease.live:
                return False
            if self._must_wait(lease):
                self.end(lease)  # whoever reads the record next does the job
                return False
            self._running.add(lease)
            return True

    def leave_slot(self, lease: Lease) -> None:
        """Let another job have the slot, or have it first."""
        with self._lock:
            lease.holds_slot = lease.wants_slot = False

    def regain_slot(self, lease: Lease) -> bool:
        """Say whether a running job has a slot, its own or a new one: see `RunningJobs`."""
        with self._lock:
            lease.had_slot |= self._must_wait(lease)  # a stop, or another worker, waits for the job's end
            return self._running.regain_slot(lease)

    def give_slot(self, newcomer: Lease) -> bool:
        """Give one of the `newcomers` its first slot. False: there is none, or it wants none any more."""
        with self._lock:
            return self._running.give_slot(newcomer)

    def wanted(self, assigned: Set[TopicPartition]) -> Wanted:
        """Return the seeks that are due (each given once) and the `assigned` partitions not to be read."""
        with self._lock:
            ours = {p: a for p, a in self._assignments.items() if p in assigned}
            seeks = {p: offset for p, a in ours.items() if (offset := a.take_seek()) is not None}
            none = self._begins_nothing()
            return Wanted(seeks, {p for p in assigned if none or not self._readable(p)})

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

    def _must_wait(self, lease: Lease) -> bool:
        return self._begins_nothing() or lease.assignment.partition in self._held_back

    def hold_back(self, partitions: Set[TopicPartition]) -> None:
        """Begin nothing on `partitions` until the next call. The jobs that run there go on."""
        with self._lock:
            self._held_back = frozenset(partitions)

    def cancel_all(self) -> None:
        with self._lock:
            for lease in self._running:
                lease.cancelled.set()

    def proposed(self, steps: Iterable[tuple[Step, Lease]]) -> dict[Assignment, CommittedState]:
        """Return what the committed state would be after `steps`, by assignment."""
        with self._lock:
            return Steps(steps).states

    def apply(self, steps: Iterable[tuple[Step, Lease]]) -> None:
        """Note that `steps` are committed. Records that were admitted meanwhile stay in the state."""
        with self._lock:
            Steps(steps).take_over()

    def attempts(self, lease: Lease) -> int:
        with self._lock:
            return lease.assignment.committed_state.attempts(lease.offset)

    def counted_attempts(self, lease: Lease) -> int:
        """Return how many attempts were begun and not handed back."""
        with self._lock:
            return lease.assignment.committed_state.counted_attempts(lease.offset)

    def newcomers(self) -> tuple[list[Lease], Counter[str]]:
        """Return the jobs that want their first slot, and by user how many have one, or the next by right."""
        with self._lock:
            return self._running.newcomers, self._running.by_user

    @property
    def ready(self) -> list[Lease]:
        """The leases of the records that are read and not begun."""
        with self._lock:
            leases = (lease for a in self._assignments.values() for lease in a.leases.values())
            return [lease for lease in leases if lease.is_ready]

    @property
    def held_back(self) -> Set[TopicPartition]:
        """The partitions on which nothing begins."""
        return self._held_back  # is replaced as a whole, never changed

    @property
    def running_count(self) -> int:
        with self._lock:
            return self._running.count

    @property
    def busy(self) -> set[TopicPartition]:
        """The partitions whose records are being worked on under leases that hold."""
        with self._lock:
            return {lease.assignment.partition for lease in self._running if lease.live}

    @property
    def slots_full(self) -> bool:
        with self._lock:
            return self._running.slots_full

    @property
    def all_positioned(self) -> bool:
        """Every partition that we have is loaded and stands where it should be read."""
        with self._lock:
            return all(a.loaded and a.seek_to is None for a in self._assignments.values())

    @property
    def partitions(self) -> set[TopicPartition]:
        with self._lock:
            return set(self._assignments)
