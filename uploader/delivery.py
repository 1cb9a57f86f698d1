"""Delivers the callback of a published result, and reports how its run has ended."""

import logging
from dataclasses import dataclass
from functools import partial

from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Failed, Outcome
from common.jobs.retry import Decision, GivenUp
from common.storage.stage_interface import Stage
from common.tasks.job_status import JobStatus
from common.tasks.messages import Separated, SeparationFailed, State
from common.tasks.messages.hook_event import is_wanted
from uploader import callback, status_messages, stems
from uploader.callback_sender import CallbackSender, CallbackTry, next_try_at
from uploader.places import callback_claim, run_id

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallbackFailed(Failed):
    """A try of a result's callback has failed. `body` is the callback's, `status` the job's."""

    callback_try: CallbackTry
    body: bytes
    status: JobStatus


class Deliverer:
    """Posts a result's callback once for each attempt, if its user wants one and there is a place for it."""

    def __init__(self, sender: CallbackSender, stage: Stage):
        self._sender, self._stage = sender, stage

    def run(
        self,
        result: Separated | SeparationFailed,
        body: bytes,
        tries_before: int,
        context: JobContext,
        status: JobStatus,
    ) -> Outcome:
        """Makes try `tries_before` + 1. Raises only what `context.check` raises."""
        if result.hook_url is None or not is_wanted(callback.event_of(body), result.hook_events):
            ended = status_messages.after_callback(status, body)
            return Done((ended,), after_commit=partial(stems.remove_retired, self._stage, result))
        claim = callback_claim(result)
        if not context.take_place(claim):
            return Deferred(claim, status_messages.while_waiting(status, body))
        # From here on the receiver decides how long it takes: another result may have this one's slot.
        context.leave_slot()
        if succeeded := callback.as_success(body):
            # Users who wait for the stems need not wait for the receiver.
            status.enter(State.DELIVERING, result=succeeded, model=succeeded.model, device=succeeded.device)
        callback_try = self._sender.post(
            result.hook_url, run_id(result), body, tries_before + 1, context.check
        )
        if callback_try.error is not None:
            return CallbackFailed(callback_try.error, callback_try, body, status)
        log.info("callback delivered")
        return self._done(result, callback_try, body, status)

    def after_failure(
        self, result: Separated | SeparationFailed, failed: CallbackFailed, decision: Decision
    ) -> Done:
        """As Handler.after_failure. A callback that is given up is always kept as a dead letter."""
        return self._done(result, failed.callback_try, failed.body, failed.status, decision)

    def _done(
        self,
        result: Separated | SeparationFailed,
        callback_try: CallbackTry,
        body: bytes,
        status: JobStatus,
        decision: Decision | None = None,
    ) -> Done:
        """`decision` is None for a callback that was delivered."""
        at = next_try_at(decision) if decision else None
        attempt = self._sender.delivery_record(result, callback_try, at)
        unstored = isinstance(result, SeparationFailed) and result.unstored
        ended = status_messages.after_callback(
            status, body, callback_try.error, at, callback_try.number, unstored
        )
        letters = (decision.letter,) if isinstance(decision, GivenUp) else ()
        remove = partial(stems.remove_retired, self._stage, result)
        return Done((attempt, ended, *letters), after_commit=remove)
