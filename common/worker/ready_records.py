"""Keeps the records that are read and not begun, and says which of them gets the next free slot.

The lane is chosen first, by weight (lane_choice.py). Within the lane the user with the fewest running jobs
comes first, then the user who had a slot the longest ago. Of one user the record that was read first comes
first.
"""

from collections import defaultdict
from collections.abc import Mapping, Set

from kafka import TopicPartition

from common.worker.lane_choice import LaneChoice
from common.worker.lease import Lease

# Of more users, the one who had a slot the longest ago is forgotten, and counts as new.
_MOST_USERS = 1000


class ReadyRecords:
    """The leases of these records. The worker's poll thread owns every field."""

    def __init__(self) -> None:
        self._leases: list[Lease] = []
        self._choice = LaneChoice()
        self._starts = 0
        # which start was a user's last one; the users are in the order of these starts
        self._last_start: dict[str, int] = {}

    def add(self, lease: Lease) -> None:
        self._leases.append(lease)

    def take_next(self, running: Mapping[str, int], held_back: Set[TopicPartition]) -> Lease | None:
        """Take out the lease whose job begins next; None if there is none.

        `running` has the number of running jobs by user. On the partitions `held_back` nothing begins.
        """
        self._leases = [lease for lease in self._leases if lease.live]
        lanes: dict[int, list[Lease]] = defaultdict(list)
        for lease in self._leases:
            if lease.assignment.partition not in held_back:
                lanes[lease.ticket.priority].append(lease)
        if not lanes:
            return None
        lane = lanes[self._choice.next(lanes)]

        def turn(lease: Lease) -> tuple[int, int]:
            user = lease.ticket.user
            return running.get(user, 0), self._last_start.get(user, 0)

        chosen = min(lane, key=turn)  # of equal ones the first, which was read first
        self._leases.remove(chosen)
        self._note_start(chosen.ticket.user)
        return chosen

    def _note_start(self, user: str) -> None:
        self._starts += 1
        self._last_start.pop(user, None)
        self._last_start[user] = self._starts
        if len(self._last_start) > _MOST_USERS:
            del self._last_start[next(iter(self._last_start))]
