"""Keeps records that wait for a place: leased but not begun, so that records behind them are read.

A record that is read while its user's places are taken waits here. It holds no slot and was not begun.
So a worker's death does not count against the record, and the committed state names it as unfinished. When a
place is given back, the next job is started at once. Of the users who wait, the one with the fewest places is
next. Of one user's jobs the lanes' weights choose the lane (lane_choice.py), and the lane's first
job is next.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from common.jobs.places import Claim, Limits, Places
from common.kafka.records import Record
from common.worker.lane_choice import LaneChoice
from common.worker.lease import Lease

# Each waiting record is named in its partition's committed metadata, for which brokers allow 4096 bytes.
_MOST_OF_PARTITION = 64
_MOST_OF_USER = 128
_MOST = 512


@dataclass(frozen=True)
class PlaceRules:
    """`claim_of` returns the place that a record needs before it is begun, or None where it needs none."""

    limits: Limits
    claim_of: Callable[[Record], Claim | None]


NO_PLACES = PlaceRules(Limits(), lambda record: None)


class WaitingRoom:
    """Gives places to jobs and keeps the leases that wait for one. Thread-safe.

    `_lock` guards `_places`, `_waiting` and `_choices`.
    """

    def __init__(self, limits: Limits, start: Callable[[Lease, Claim], bool]):
        """`start` begins the job of a lease that now has its place; False: the lease has ended."""
        self._start = start
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._places = Places(limits)
        self._waiting: list[tuple[Lease, Claim]] = []
        # of each user whose jobs wait
        self._choices: dict[str, LaneChoice] = {}

    def take(self, claim: Claim, patience_s: float = 0.0) -> bool:
        """Take a place if one is free in time. A place that a waiting job could have is never free."""
        with self._lock:
            if not self._freed.wait_for(lambda: self._places.fits(claim), patience_s):
                return False
            self._places.take(claim)
            return True

    def give_back(self, claim: Claim) -> None:
        """Free the place and start the jobs that can have it."""
        self._serve(claim)

    def has_room(self, lease: Lease, claim: Claim) -> bool:
        """Return whether one more lease may wait."""
        with self._lock:
            self._forget_ended()
            waiting = self._waiting
            partitions = Counter(other.assignment.partition for other, _ in waiting)
            users = Counter(other.user for _, other in waiting)
            return (
                len(waiting) < _MOST
                and users[claim.user] < _MOST_OF_USER
                and partitions[lease.assignment.partition] < _MOST_OF_PARTITION
            )

    def enter(self, lease: Lease, claim: Claim) -> None:
        """Keep the lease until it gets its place, which may be at once."""
        with self._lock:
            self._waiting.append((lease, claim))
        self._serve()

    @property
    def count(self) -> int:
        with self._lock:
            self._forget_ended()
            return len(self._waiting)

    def _serve(self, freed: Claim | None = None) -> None:
        while (chosen := self._next(freed)) is not None:
            freed = None if self._start(*chosen) else chosen[1]

    def _next(self, freed: Claim | None) -> tuple[Lease, Claim] | None:
        """Free a place, and take it for the next job that waits, before any other job can have it."""
        with self._lock:
            if freed is not None:
                self._places.free(freed)
            self._forget_ended()
            fitting = [entry for entry in self._waiting if self._places.fits(entry[1])]
            if not fitting:
                self._freed.notify_all()
                return None
            # Of equal users `min` returns the first entry, whose job came first.
            first = min(fitting, key=lambda entry: self._places.taken_by(entry[1].user))
            # Only among one user's own jobs: urgent jobs of others must not starve this user.
            user = first[1].user
            own = [entry for entry in fitting if entry[1].user == user]
            lane = self._choices.setdefault(user, LaneChoice()).next({e[0].ticket.priority for e in own})
            chosen = next(entry for entry in own if entry[0].ticket.priority == lane)
            self._waiting.remove(chosen)
            self._places.take(chosen[1])
            return chosen

    def _forget_ended(self) -> None:
        self._waiting = [entry for entry in self._waiting if entry[0].live]
        users = {claim.user for _, claim in self._waiting}
        self._choices = {user: choice for user, choice in self._choices.items() if user in users}


def no_waiting_room() -> WaitingRoom:
    """Return a room for jobs that need no places."""
    return WaitingRoom(Limits(), lambda lease, claim: False)


class HeldPlace:
    """The place of one job, if it has one. Used by the job's own thread alone."""

    def __init__(self, room: WaitingRoom, claim: Claim | None = None):
        """`claim` is the place that the job was started with."""
        self._room, self._claim = room, claim

    def take(self, claim: Claim, patience_s: float = 0.0) -> bool:
        """Take the place now or within `patience_s`. False: the job has none."""
        if self._claim == claim:
            return True
        self.leave()
        if not self._room.take(claim, patience_s):
            return False
        self._claim = claim
        return True

    def leave(self) -> None:
        claim, self._claim = self._claim, None
        if claim is not None:
            self._room.give_back(claim)
