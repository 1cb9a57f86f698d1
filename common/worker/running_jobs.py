"""Keeps which jobs run in a worker and which of them have its slots."""

from collections import Counter
from collections.abc import Iterator

from kafka import TopicPartition

from common.worker.lane_choice import LaneChoice
from common.worker.lease import Lease

RecordKey = tuple[TopicPartition, int]


class RunningJobs:
    """The jobs that run here, whatever has become of their leases. Called under the lease table's lock."""

    def __init__(self, slots: int):
        self._slots = slots
        self._leases: dict[RecordKey, Lease] = {}  # the one that was begun first comes first
        self._lanes = LaneChoice()

    def __contains__(self, key: tuple[TopicPartition, int | None]) -> bool:
        return key in self._leases

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    @property
    def count(self) -> int:
        return len(self._leases)

    @property
    def by_user(self) -> Counter[str]:
        """The number of jobs by user that have a slot, or have the next one by right."""
        return Counter(lease.ticket.user for lease in self if self._counts(lease))

    @property
    def slots_full(self) -> bool:
        """Whether nothing may begin. Who left a slot has the next one by right."""
        return sum(map(self._counts, self)) >= self._slots

    @staticmethod
    def _counts(lease: Lease) -> bool:
        return lease.holds_slot or (lease.wants_slot and lease.had_slot)

    @property
    def newcomers(self) -> list[Lease]:
        """The jobs that want their first slot, beside the records that have not begun."""
        return [lease for lease in self if lease.wants_slot and not lease.had_slot]

    def give_slot(self, newcomer: Lease) -> bool:
        """Give a newcomer its first slot. False: there is none, or it wants none any more."""
        if not newcomer.wants_slot or self.slots_full:
            return False
        newcomer.holds_slot = newcomer.had_slot = True
        newcomer.wants_slot = False
        return True

    def has(self, lease: Lease) -> bool:
        return self._leases.get(_key(lease)) is lease

    def add(self, lease: Lease) -> None:
        self._leases[_key(lease)] = lease

    def remove(self, lease: Lease) -> None:
        self._leases.pop(_key(lease), None)

    def regain_slot(self, lease: Lease) -> bool:
        """Say whether the job has a slot. If it has none, it asks for one from now on.

        Of several that left a slot, the lanes' weights say whose turn it is, and of one lane the oldest is
        next. Each free slot is given at once, also if its job asks again only later. A newcomer gets its slot
        by `give_slot`.
        """
        lease.wants_slot = not lease.holds_slot
        by_right = lease.had_slot
        while by_right and lease.wants_slot and sum(other.holds_slot for other in self) < self._slots:
            asking = [other for other in self if other.wants_slot and other.had_slot]
            lane = self._lanes.next({other.ticket.priority for other in asking})
            first = next(other for other in asking if other.ticket.priority == lane)
            first.holds_slot, first.wants_slot = True, False
        return lease.holds_slot


def _key(lease: Lease) -> RecordKey:
    return lease.assignment.partition, lease.offset
