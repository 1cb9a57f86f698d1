"""Calls a batch's `hook_url` once all its tasks have ended: the same bytes under the same id at each try."""

import logging
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from common.errors import JobError
from common.failpoint import Failpoint
from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Failed, Outcome
from common.jobs.retry import Decision, GivenUp
from common.kafka.records import Message
from common.storage.bucket_keys import BatchKeys
from common.tasks.messages import BatchEnded
from uploader.callback_sender import CallbackSender, CallbackTry, next_try_at
from uploader.places import callback_claim, run_id
from uploader.storage import Storage

log = logging.getLogger(__name__)


class _Delivered(BaseModel):
    """The mark: the try that the receiver has taken, without its address. As CallbackTry."""

    number: int
    started_at: float
    ended_at: float
    status: int


@dataclass(frozen=True)
class BatchCallFailed(Failed):
    """A try of a batch's callback has failed."""

    callback_try: CallbackTry


class BatchCaller:
    """Sends what the store holds. The first order of a batch writes it there; a second one changes nothing.

    A mark beside it says that the receiver has taken it: a second order, of another api, sends nothing then.
    A redelivery neither heeds the mark nor makes one.
    """

    def __init__(self, s3_prefix: str, storage: Storage, sender: CallbackSender):
        self._prefix, self._storage, self._sender = s3_prefix, storage, sender

    def run(self, ended: BatchEnded, tries_before: int, context: JobContext) -> Outcome:
        """Makes try `tries_before` + 1. Raises only what `context.check` raises."""
        claim = callback_claim(ended)
        if not context.take_place(claim):
            return Deferred(claim)
        context.leave_slot()
        keys = BatchKeys(self._prefix, ended.batch_uuid)
        try:
            # One at a time for each batch, by its place: nobody delivers between this look and the post.
            mark = None if ended.is_redelivery else self._storage.get_manifest(keys.delivered)
            if mark is not None:
                log.info("the batch's callback was delivered before")
                return Done(self._marked(ended, mark))
            body = self._storage.put_manifest(keys.callback, ended.callback.to_bytes())
        except JobError as error:
            callback_try = self._sender.not_posted(ended.hook_url, tries_before + 1, error)
            return BatchCallFailed(error, callback_try)
        callback_try = self._sender.post(ended.hook_url, run_id(ended), body, tries_before + 1, context.check)
        if callback_try.error is not None:
            return BatchCallFailed(callback_try.error, callback_try)
        if not ended.is_redelivery:
            self._mark(keys, callback_try)
        log.info("the batch's callback is delivered")
        return Done((self._sender.delivery_record(ended, callback_try, None),))

    def after_failure(self, ended: BatchEnded, failed: Failed, decision: Decision) -> Done:
        """As Handler.after_failure. `failed` is no BatchCallFailed after a crash."""
        letters = (decision.letter,) if isinstance(decision, GivenUp) else ()
        if not isinstance(failed, BatchCallFailed):
            return Done(letters)
        attempt = self._sender.delivery_record(ended, failed.callback_try, next_try_at(decision))
        return Done((attempt, *letters))

    def _mark(self, keys: BatchKeys, callback_try: CallbackTry) -> None:
        mark = _Delivered.model_validate(callback_try, from_attributes=True)
        try:
            self._storage.put_manifest(keys.delivered, mark.model_dump_json().encode())
        except JobError as error:
            log.warning("not marked as delivered, so it may be sent again: %s", error.message)
        Failpoint.BATCH_CALLED.reach()

    def _marked(self, ended: BatchEnded, mark: bytes) -> tuple[Message, ...]:
        """Returns the record of the try that was delivered: a crash may have lost it.

        A record that is there already is replaced by the same one in the api's view.
        """
        try:
            known = _Delivered.model_validate_json(mark)
        except ValidationError:  # of an uploader of an earlier version
            return ()
        delivered = CallbackTry(hook_url=ended.hook_url, error=None, **known.model_dump())
        return (self._sender.delivery_record(ended, delivered, None),)
