"""Runs one job on its thread: commits the attempt, works, publishes the outcome, then runs its effects."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from common.errors import Cancelled, CrashError, ErrorCode, JobError, PermanentError, TransientError
from common.jobs.handler import Handler
from common.jobs.outcome import Deferred, Done, Dropped, Failed, Outcome
from common.jobs.places import Claim
from common.jobs.settlement import JobRules, Settlement
from common.kafka.transaction import Unpublishable
from common.waiting import StopCheck
from common.worker.commit_request import CommitResult
from common.worker.committer import Committer
from common.worker.lease import Lease
from common.worker.lease_table import LeaseTable
from common.worker.pace import PACE, Pace
from common.worker.seat import Seat
from common.worker.waiting_room import HeldPlace, WaitingRoom, no_waiting_room

log = logging.getLogger(__name__)

# Called with an attempt's outcome and what was committed of it, None if no commit is known.
OnOutcome = Callable[[Outcome, Done | None], None]


def _nobody_asks(outcome: Outcome, done: Done | None) -> None:
    """Ignore the outcome: only its job is interested."""


class LeaseContext:
    """A JobContext that stops its job when the lease ends. The job's thread owns it."""

    def __init__(self, lease: Lease, leases: LeaseTable, seat: Seat):
        self._lease, self._seat = lease, seat
        self.attempt = leases.attempts(lease)
        self.counted_attempts = leases.counted_attempts(lease)

    def check(self) -> None:
        if not self._lease.live:
            raise Cancelled

    def wait(self, timeout_s: float) -> None:
        self._lease.cancelled.wait(timeout_s)
        self.check()

    def take_place(self, claim: Claim) -> bool:
        return self._seat.take_place(claim)

    def leave_place(self) -> None:
        self._seat.place.leave()

    def leave_slot(self) -> None:
        self._seat.leave_slot()

    def regain_slot(self, check: StopCheck | None = None) -> None:
        self._seat.regain_slot(check or self.check)


class JobThread:
    """Runs one leased record to its end, then calls `on_slot_free`, whatever happened.

    Each job's own thread owns the fields from `start` or `put_off` on.
    """

    def __init__(
        self,
        lease: Lease,
        handler: Handler[Any],
        committer: Committer,
        leases: LeaseTable,
        rules: JobRules,
        on_slot_free: Callable[[], None],
        on_outcome: OnOutcome = _nobody_asks,
        room: WaitingRoom | None = None,
        claim: Claim | None = None,
        pace: Pace = PACE,
    ):
        """`on_slot_free` is called as soon as the work is done, and at the end.

        `on_outcome` is called for each attempt that was begun, before the effects that follow it. `claim` is
        the place in `room` that the job is started with.
        """
        self._lease = lease
        self._handler = handler
        self._committer = committer
        self._leases = leases
        self._rules = rules
        self._on_slot_free = on_slot_free
        self._on_outcome = on_outcome
        self._room = room or no_waiting_room()
        place = HeldPlace(self._room, claim)
        self._seat = Seat(lease, leases, committer, rules.max_attempts, place, on_slot_free, pace)
        # the place that the record waits for, once its job has ended for that
        self._awaited: Claim | None = None

    def start(self) -> None:
        self._in_thread(self._run)

    def put_off(self, claim: Claim) -> None:
        """Have the record come again later, as too many wait for this place. Called instead of `start`."""
        self._in_thread(lambda: self._put_off(claim))

    def _in_thread(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=f"job {self._lease}", daemon=True).start()

    def _run(self) -> None:
        try:
            # Before the attempt is committed: while this record waits for another's last attempt, a death of
            # the worker must not count against this record.
            self._seat.begin_turn(self._may_wait)
            self._attempt()
        except Cancelled:
            log.info("%s: stopped before its attempt", self._lease)
        except Exception:
            log.exception("%s: error after the job's end", self._lease)
        finally:
            self._seat.end_turn()
            self._seat.place.leave()
            self._leave()

    def _leave(self) -> None:
        if self._awaited is None:
            self._leases.end(self._lease)
        else:
            self._leases.set_aside(self._lease)
            self._room.enter(self._lease, self._awaited)
        self._on_slot_free()

    def _put_off(self, claim: Claim) -> None:
        """Publish the record for later. No attempt is begun."""
        try:
            outcome = Deferred(claim)
            self._on_outcome(outcome, self._publish(outcome, self._settlement(self._context())))
        except Exception:
            log.exception("%s: could not be put off", self._lease)
        finally:
            self._leave()

    def _context(self) -> LeaseContext:
        return LeaseContext(self._lease, self._leases, self._seat)

    def _settlement(self, context: LeaseContext) -> Settlement:
        return Settlement(self._lease.record, self._handler, context, self._rules, str(self._lease))

    def _may_wait(self) -> bool:
        return self._lease.live and not self._leases.draining

    def _attempt(self) -> None:
        if not self._committer.begin(self._lease):
            # The broker may have the attempt all the same, if the end of its commit is unknown.
            self._committer.hand_back(self._lease)
            return
        context = self._context()
        settlement = self._settlement(context)
        outcome = self._work(settlement, context)
        self._seat.end_work()
        if isinstance(outcome, Deferred) and self._wait_for_place(outcome):
            self._on_outcome(outcome, Done(outcome.messages))
            return
        done = self._publish(outcome, settlement)
        self._on_outcome(outcome, done)
        if done is None:
            log.info("%s dropped: nothing published", self._lease)
            return
        done.after_commit()

    def _wait_for_place(self, outcome: Deferred) -> bool:
        """Hand the attempt back, and let the record wait. False: too many wait, or the lease is lost."""
        if not self._room.has_room(self._lease, outcome.claim):
            return False
        try:
            end = self._committer.set_aside(self._lease, outcome.messages)
        except Unpublishable:
            return False  # the job's own end says why
        if end is not CommitResult.COMMITTED:
            return False
        self._awaited = outcome.claim
        return True

    def _work(self, settlement: Settlement, context: LeaseContext) -> Outcome:
        if context.counted_attempts > self._rules.max_attempts:
            given_up = f"given up: {self._rules.max_attempts} attempts were begun and none of them ended"
            return Failed(CrashError(ErrorCode.ENGINE_CRASHED, given_up))
        try:
            return settlement.run()
        except Cancelled:
            return Dropped()
        except JobError as error:
            return Failed(error)
        except (Exception, SystemExit) as error:  # the loop's edge: a defect in a job must not end the worker
            log.exception("%s: unexpected error", self._lease)
            # The error's text is in the log alone: it may name our paths, and the message goes to a stranger.
            return Failed(TransientError(ErrorCode.INTERNAL_ERROR, f"Internal error: {type(error).__name__}"))

    def _publish(self, outcome: Outcome, settlement: Settlement) -> Done | None:
        """Settle and commit the outcome. None: nothing is known to be published.

        If Kafka will never take the messages, the job has failed: it is neither tried for ever nor lost. If
        that failure cannot be written either, a dead letter without the record's bytes says where it lies.
        """
        done = settlement.settle(outcome)
        if not self._lease.live:
            # Hand back whatever the outcome is: an engine may die of the same signal that stops its job.
            # Hand back only here: once a result was sent, that could revive a record that is done.
            # Hand back only a job that was stopped: one that drops itself is no better than a crash, and may
            # not be read again for ever. An attempt that does not count is left as it is (lease.Steps).
            self._committer.hand_back(self._lease)
        try:
            return self._commit(done)
        except Unpublishable as error:
            reason = f"The result cannot be written to Kafka: {error}"
        try:
            return self._commit(settlement.settle(Failed(PermanentError(ErrorCode.INTERNAL_ERROR, reason))))
        except Unpublishable:
            return self._commit(settlement.bare_letter(reason))

    def _commit(self, done: Done | None) -> Done | None:
        if done is None:
            return None
        match self._committer.finish(self._lease, done.messages, done.undo):
            case CommitResult.COMMITTED:
                return done
            case CommitResult.NOT_COMMITTED:
                done.undo()
        return None
