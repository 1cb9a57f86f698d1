"""Keeps what a running job holds of its worker: a slot, a turn beside other jobs, and a place for waiting.

A job that waits for somebody else's network leaves its slot and its turn. Then another job has the slot. A
record on its last attempt, which works alone (quarantine.py), does not wait for a slow host or receiver.
"""

from collections.abc import Callable

from common.errors import Cancelled
from common.jobs.places import Claim
from common.waiting import StopCheck
from common.worker.committer import Committer
from common.worker.lease import Lease
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.waiting_room import HeldPlace


class Seat:
    """Used by the job's own thread alone, which owns every field."""

    def __init__(
        self,
        lease: Lease,
        leases: LeaseTable,
        committer: Committer,
        max_attempts: int,
        place: HeldPlace,
        on_slot_free: Callable[[], None],
        pace: Pace = PACE,
    ):
        self._lease, self._leases, self._committer = lease, leases, committer
        self._max_attempts, self._on_slot_free, self._pace = max_attempts, on_slot_free, pace
        self.place = place
        self._is_handed_back = False
        # whether the turn is that of a job that works alone; None: the job has no turn
        self._alone: bool | None = None
        self._is_aside = False
        # The job has its turn without a slot: it comes from the waiting room, or has waited for its place.
        # Nobody changes the lease's field before the job asks for a slot.
        self._lacks_slot = not lease.had_slot

    def begin_turn(self, may_wait: Callable[[], bool]) -> None:
        """Wait for the turn. Raises Cancelled once `may_wait` says no."""
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
        """Give up the slot and the place: only the job's transaction is left."""
        self._leases.leave_slot(self._lease)
        self.place.leave()
        self._on_slot_free()

    def take_place(self, claim: Claim) -> bool:
        """Take the place, after a moment's wait without the slot if need be. False: there is none."""
        if self.place.take(claim):
            return True
        self._lacks_slot = True
        self._leases.leave_slot(self._lease)
        self._on_slot_free()
        return self.place.take(claim, self._pace.place_patience_s)

    def leave_slot(self) -> None:
        """Let others work. A worker's death meanwhile never puts this record on its last attempt."""
        if self._alone is None:
            return
        self._leases.quarantine.step_aside(self._alone)
        self._alone, self._is_aside, self._lacks_slot = None, True, False
        if self._leases.counted_attempts(self._lease) > 1:
            self._committer.hand_back(self._lease)
            self._is_handed_back = True
        self._leases.leave_slot(self._lease)
        self._on_slot_free()

    def regain_slot(self, check: StopCheck) -> None:
        """Wait until the job may work, with a slot. Raises Cancelled, and what `check` raises."""
        if not self._is_aside:
            if not self._lacks_slot:
                return
            # It must not wait for a slot in its turn: a last attempt that holds the slot may wait for the end
            # of that turn.
            self.leave_slot()
        self._wait_for_slot(check)
        counted = self._leases.counted_attempts(self._lease)
        alone = self._is_last(counted if self._is_handed_back else counted - 1)
        self._leases.quarantine.come_back(alone, lambda: self._lease.live)
        self._alone, self._is_aside = alone, False
        if self._is_handed_back:
            if not self._committer.resume(self._lease):
                raise Cancelled
            self._is_handed_back = False

    def _wait_for_slot(self, check: StopCheck) -> None:
        try:
            if self._leases.regain_slot(self._lease):
                return
            self._on_slot_free()  # the first slot of a job is given by the poll thread
            while not self._leases.regain_slot(self._lease):
                self._lease.cancelled.wait(self._pace.slot_tick_s)
                check()
        except BaseException:
            # Whoever asks keeps others from the slots. This job asks no more, and its end may take as long as
            # an outage.
            self._leases.leave_slot(self._lease)
            self._on_slot_free()
            raise

    def _is_last(self, earlier_attempts: int) -> bool:
        return 0 < earlier_attempts == self._max_attempts - 1
