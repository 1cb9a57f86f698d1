"""Keeps the records that are read and not begun, and says which of them gets the next free slot.

The lane is chosen first, by weight (lane_choice.py). Within the lane the user with the fewest slots comes
first, then the user who has waited for the longest: since the last start, or since the record was read. So
new users pass nobody who waited before they came. Of one user the record that was read first comes first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from kafka import TopicPartition

from common.worker.lane_choice import LaneChoice
from common.worker.lease import Lease

# Of more users, the one who had a slot the longest ago is forgotten, and counts as new.
_MOST_USERS = 1000


class ReadyRecords:
    """The leases of these records. The worker's poll thread owns every field."""

    def __init__(self) -> None:
        # each lease with the number of starts before its record was read
        self._entries: list[tuple[Lease, int]] = []
        self._choice = LaneChoice()
        self._starts = 0
        # which start was a user's last one; the users are in the order of these starts
        self._last_start: dict[str, int] = {}

    def add(self, lease: Lease) -> None:
        self._entries.append((lease, self._starts))

    def take_next(
        self, running: Mapping[str, int], held_back: Set[TopicPartition], newcomers: Iterable[Lease] = ()
    ) -> Lease | None:
        """Take out the lease that gets the next slot; None if there is none.

        `running` has the number of slots by user. On the partitions `held_back` nothing begins. The
        `newcomers` run already and want their first slot.
        """
        self._entries = [entry for entry in self._entries if entry[0].live]
        lanes: dict[int, list[tuple[Lease, int]]] = defaultdict(list)
        for lease in newcomers:
            lanes[lease.ticket.priority].append((lease, 0))
        for lease, read_at in self._entries:
            if lease.assignment.partition not in held_back:
                lanes[lease.ticket.priority].append((lease, read_at))
        if not lanes:
            return None

        def turn(entry: tuple[Lease, int]) -> tuple[int, int]:
            user = entry[0].ticket.user
            return running.get(user, 0), max(entry[1], self._last_start.get(user, 0))

        chosen = min(lanes[self._choice.next(lanes)], key=turn)  # of equal ones the first, read first
        self._entries = [entry for entry in self._entries if entry[0] is not chosen[0]]
        self._note_start(chosen[0].ticket.user)
        return chosen[0]

    def _note_start(self, user: str) -> None:
        self._starts += 1
        self._last_start.pop(user, None)
        self._last_start[user] = self._starts
        if len(self._last_start) > _MOST_USERS:
            del self._last_start[next(iter(self._last_start))]
