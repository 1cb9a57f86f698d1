"""Keeps what a running job holds of its worker: a slot, a turn beside other jobs, and a place for waiting.

A job that waits for somebody else's network leaves its slot and its turn. Another job has the slot then, and
a record on its last attempt, which works alone (quarantine.py), waits for no slow host or receiver.
"""

from collections.abc import Callable

from common.errors import Cancelled
from common.jobs.places import Claim
from common.worker.committer import Committer
from common.worker.lease import Lease, LeaseTable
from common.worker.waiting_room import HeldPlace

_TICK_S = 0.05
# A receiver that answers at once has its places free again by then: to be begun anew costs two transactions.
_PATIENCE_S = 0.5


class Seat:
    """Used by the job's own thread."""

    def __init__(
        self,
        lease: Lease,
        leases: LeaseTable,
        committer: Committer,
        max_attempts: int,
        place: HeldPlace,
        on_slot_free: Callable[[], None],
    ):
        self._lease, self._leases, self._committer = lease, leases, committer
        self._max_attempts, self._on_slot_free = max_attempts, on_slot_free
        self.place = place
        self.is_handed_back = False
        # whether the turn is one of a job that works alone; None: there is no turn
        self._alone: bool | None = None
        self._is_aside = False

    def begin_turn(self, may_wait: Callable[[], bool]) -> None:
        """Waits for the turn. Raises Cancelled once the job may not wait for it any more."""
        alone = self._is_last(self._leases.counted_attempts(self._lease))
        self._leases.quarantine.begin(alone, may_wait)
        self._alone = alone

    def end_turn(self) -> None:
        if self._alone is not None:
            self._leases.quarantine.end(self._alone)
        elif self._is_aside:
            self._leases.quarantine.end_aside()
        self._alone, self._is_aside = None, False

    def end_work(self) -> None:
        """What is left of the job is its transaction."""
        self._lease.holds_slot = False
        self.place.leave()
        self._on_slot_free()

    def take_place(self, claim: Claim) -> bool:
        """Whether the job has this place. It is waited for a moment, without the slot."""
        if self.place.take(claim):
            return True
        self._lease.holds_slot = False
        self._on_slot_free()
        return self.place.take(claim, _PATIENCE_S)

    def leave_slot(self) -> None:
        """Lets others work. A worker's death meanwhile never makes this record one on its last attempt."""
        if self._alone is None:
            return
        self._leases.quarantine.step_aside(self._alone)
        self._alone, self._is_aside = None, True
        if self._leases.counted_attempts(self._lease) > 1:
            self._committer.hand_back(self._lease)
            self.is_handed_back = True
        self._lease.holds_slot = False
        self._on_slot_free()

    def regain_slot(self, check: Callable[[], None]) -> None:
        """Waits until the job may work again. Raises Cancelled, and what `check` raises."""
        if not self._is_aside:
            return
        while not self._leases.regain_slot(self._lease):
            self._lease.cancelled.wait(_TICK_S)
            check()
        counted = self._leases.counted_attempts(self._lease)
        alone = self._is_last(counted if self.is_handed_back else counted - 1)
        self._leases.quarantine.come_back(alone, lambda: self._lease.live)
        self._alone, self._is_aside = alone, False
        if self.is_handed_back:
            if not self._committer.resume(self._lease):
                raise Cancelled
            self.is_handed_back = False

    def _is_last(self, earlier_attempts: int) -> bool:
        return 0 < earlier_attempts == self._max_attempts - 1
