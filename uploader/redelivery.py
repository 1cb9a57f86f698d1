"""Delivers a callback once more, long after its run has ended: the same bytes under the same id."""

import logging
from dataclasses import dataclass

from common.errors import ErrorCode, JobError, PermanentError
from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Failed, Outcome
from common.jobs.retry import Decision, GivenUp
from common.storage.bucket_keys import RunKeys
from common.tasks.messages import Redelivery
from common.tasks.messages.manifest import as_tombstone
from uploader.callback_sender import CallbackSender, CallbackTry, next_try_at
from uploader.places import callback_claim, run_id
from uploader.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RedeliveryFailed(Failed):
    """A try of a redelivery has failed."""

    callback_try: CallbackTry


class Redeliverer:
    """Reports each try, and leaves the run's status alone: the run's end stands, whatever becomes of this."""

    def __init__(self, s3_prefix: str, storage: Storage, sender: CallbackSender):
        self._prefix, self._storage, self._sender = s3_prefix, storage, sender

    def run(self, redelivery: Redelivery, tries_before: int, context: JobContext) -> Outcome:
        """Makes try `tries_before` + 1. Raises only what `context.check` raises."""
        claim = callback_claim(redelivery)
        if not context.take_place(claim):
            return Deferred(claim)
        context.leave_slot()
        callback_try = self._try(redelivery, tries_before + 1, context)
        if callback_try.error is not None:
            return RedeliveryFailed(callback_try.error, callback_try)
        log.info("callback delivered again")
        return Done((self._sender.delivery_record(redelivery, callback_try, None),))

    def after_failure(self, redelivery: Redelivery, failed: Failed, decision: Decision) -> Done:
        """As Handler.after_failure. `failed` is no RedeliveryFailed after a crash."""
        letters = (decision.letter,) if isinstance(decision, GivenUp) else ()
        if not isinstance(failed, RedeliveryFailed):
            return Done(letters)
        attempt = self._sender.delivery_record(redelivery, failed.callback_try, next_try_at(decision))
        return Done((attempt, *letters))

    def _try(self, redelivery: Redelivery, number: int, context: JobContext) -> CallbackTry:
        hook_url = redelivery.hook_url
        try:
            body = self._body(redelivery)
        except JobError as error:
            # Reported as a try all the same: the user looks for his redelivery among the deliveries.
            return self._sender.not_posted(hook_url, number, error)
        return self._sender.post(hook_url, run_id(redelivery), body, number, context.check)

    def _body(self, redelivery: Redelivery) -> bytes:
        """Returns the body that went out before.

        Raises JobError (result_deleted, storage_error): a PermanentError when the body is nowhere any more.
        """
        if redelivery.failure is not None and redelivery.unstored:
            # Not read from the store, which may hold the manifest of another result of the run by now.
            return redelivery.failure.to_bytes()
        key = RunKeys(self._prefix, redelivery.task_uuid, redelivery.run).manifest
        body = self._storage.get_manifest(key)
        if as_tombstone(body):
            raise PermanentError(ErrorCode.RESULT_DELETED, "The task's results have been deleted")
        if body is not None:
            return body
        if redelivery.failure is not None:  # the run was given up before its manifest was written
            return self._storage.put_manifest(key, redelivery.failure.to_bytes())
        raise PermanentError(ErrorCode.STORAGE_ERROR, "The run's manifest is no longer in the store")
