"""One job on its thread: attempt committed, work done, outcome published, effects after it."""

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
from common.worker.seat import Seat
from common.worker.waiting_room import HeldPlace, WaitingRoom, no_waiting_room

log = logging.getLogger(__name__)

# An attempt's outcome, and what was committed of it: None if nothing is known to be.
OnOutcome = Callable[[Outcome, Done | None], None]


def _nobody_asks(outcome: Outcome, done: Done | None) -> None:
    """The outcome is of interest to its job alone."""


class LeaseContext:
    """A JobContext that stops its job when the lease ends."""

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
    """Runs one leased record to its end, then calls `on_slot_free`, whatever happened."""

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
    ):
        """`on_slot_free` is called as soon as the work is done, and at the end.

        `on_outcome` is told of each attempt that was begun, before the effects that follow it. `claim` is the
        place in `room` that the job is started with.
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
        self._seat = Seat(lease, leases, committer, rules.max_attempts, place, on_slot_free)
        # the place that the record waits for, once its job has ended for that
        self._awaited: Claim | None = None

    def start(self) -> None:
        self._in_thread(self._run)

    def put_off(self, claim: Claim) -> None:
        """Instead of `start`: the record comes again later, since no more records may wait for this place."""
        self._in_thread(lambda: self._put_off(claim))

    def _in_thread(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=f"job {self._lease}", daemon=True).start()

    def _run(self) -> None:
        try:
            # Before the attempt is committed: who waits for another's last one is not counted with it.
            self._seat.begin_turn(self._may_wait)
            self._attempt()
        except Cancelled:
            log.info("%s: stopped before its attempt", self._lease)
        except Exception:
            log.exception("%s: after its end", self._lease)
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
        """No attempt is begun for it."""
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
        """Hands the attempt back, and lets the record wait. False: too many wait, or the lease is lost."""
        if not self._room.has_room(self._lease, outcome.claim):
            return False
        try:
            end = self._committer.set_aside(self._lease, outcome.messages)
        except Unpublishable:
            return False  # the record's end tells why
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
            # Its text may name our paths, and goes to a stranger: the log has it.
            return Failed(TransientError(ErrorCode.INTERNAL_ERROR, f"Internal error: {type(error).__name__}"))

    def _publish(self, outcome: Outcome, settlement: Settlement) -> Done | None:
        """Settles and commits. None: nothing is known to be published.

        What Kafka never takes is no reason to try for ever, nor to lose the record: the job has failed then;
        if that cannot be written either, a letter without anything of the record tells where it is.
        """
        done = settlement.settle(outcome)
        if not self._lease.live and not self._seat.is_handed_back:
            # Whatever it ended in: an engine may die of the same signal that stops its job. Only here: once a
            # result was sent, handing back could bring a record to life that is done. And only what was
            # stopped: a job that drops itself is no better than a crash, and may not be read again for ever.
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
