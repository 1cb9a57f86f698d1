"""Chooses the lane that gets the next free slot: by weight, the most urgent first, and none starves.

This is weighted fair queueing. `_now` is the time of an ideal worker that serves all lanes with records at
once, each by its weight. The lane whose first record the ideal worker would end first goes first.
"""

from collections.abc import Collection
from dataclasses import dataclass

from common.kafka.lanes import HIGHEST, WEIGHTS

# The sum of the weights: under full backlog the least urgent lane has one start in so many.
MOST_STARTS = sum(WEIGHTS.values())
_UNIT = WEIGHTS[HIGHEST]


@dataclass
class _Lane:
    """A lane with records. `end` is when the ideal worker would end its first one, `waited` is in starts."""

    end: float
    has_just_come: bool
    waited: int = 0


class LaneChoice:
    """Counts what each lane has had. Not thread-safe: whoever makes one guards it.

    - While all lanes have records, they get shares as their weights.
    - The most urgent lane is next when records come into it after it had none and had had its share.
    - No lane waits for more than `MOST_STARTS` - 1 starts of others but those that wait as long themselves.
      The least urgent of those goes first, so this always holds for the least urgent lane.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._lanes: dict[int, _Lane] = {}
        # when the ideal worker would have ended the last record that a lane was given
        self._served_until = dict.fromkeys(WEIGHTS, 0.0)

    def next(self, available: Collection[int]) -> int:
        """Return the lane that gets a slot, one of those `available`, and count this start."""
        self._enter(available)
        chosen = self._chosen(available)
        self._served_until[chosen] = self._lanes[chosen].end
        self._now += _UNIT / sum(WEIGHTS[priority] for priority in available)
        for lane in self._lanes.values():
            lane.waited += 1
        self._lanes[chosen] = _Lane(self._end(chosen, self._served_until[chosen]), has_just_come=False)
        return chosen

    def _enter(self, available: Collection[int]) -> None:
        """Forget the lanes that have no records any more, and take in those that have some now."""
        known = {priority: lane for priority, lane in self._lanes.items() if priority in available}
        for priority in available:
            if priority not in known:
                until = self._served_until[priority]
                end = self._end(priority, max(self._now, until))
                known[priority] = _Lane(end, has_just_come=until <= self._now)
        self._lanes = known

    def _chosen(self, available: Collection[int]) -> int:
        overdue = [p for p in available if self._lanes[p].waited >= MOST_STARTS - 1]
        if overdue:
            return min(overdue)
        most_urgent = max(available)
        if self._lanes[most_urgent].has_just_come:
            return most_urgent
        return min(available, key=lambda priority: (self._lanes[priority].end, -priority))

    @staticmethod
    def _end(priority: int, begin: float) -> float:
        return begin + _UNIT / WEIGHTS[priority]
