"""A result's life in the uploader: stems to the store, manifest, callback."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

from common.errors import UNWANTED, ErrorCode, JobError, PermanentError, TransientError, UnlikelyError
from common.failpoint import Failpoint
from common.jobs import dead_letters, retry
from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Failed, Outcome, Poison, RetrySchedule
from common.kafka.records import Message, Record
from common.observability.log import request_context, task_context
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage import LocalStage
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.job_status import JobStatus, Statuses, failure
from common.tasks.messages import Redelivery, Separated, SeparationFailed, State, UndecodableMessage
from uploader import callback, stems, webhook
from uploader.config import UploaderConfig
from uploader.delivery import Courier
from uploader.keyed_locks import KeyedLocks
from uploader.metrics import Phase, UploaderMetrics
from uploader.places import callback_claim, run_id
from uploader.redelivery import Redeliverer
from uploader.status_messages import of_delivery, of_failure, of_waiting
from uploader.storage import RunKeys, Storage

log = logging.getLogger(__name__)


class UploaderHandler:
    """Turns records of the result topic into objects and callbacks. Several jobs at once."""

    def __init__(
        self,
        config: UploaderConfig,
        network: OutboundNetwork,
        storage: Storage,
        stage: LocalStage,
        statuses: Statuses,
        wall_clock: Callable[[], float] = time.time,
        metrics: UploaderMetrics | None = None,
        cancels: Cancels | None = None,
    ):
        self._config = config
        self._cancels = cancels or Cancels()
        self._metrics = metrics or UploaderMetrics.create()
        self._courier = Courier(
            network,
            config.webhook_secrets,
            config.callback_timeout_s,
            config.delivery_topic,
            wall_clock,
            self._metrics,
        )
        self._redeliverer = Redeliverer(config.s3_prefix, storage, self._courier)
        self._storage = storage
        self._stage = stage
        self._statuses = statuses
        self._wall_clock = wall_clock
        self._callback_schedule = RetrySchedule(
            "callback", config.callback_retries, resets=("job", retry.BRIEF)
        )
        self._brief_schedule = retry.brief_schedule(self._callback_schedule)
        self._job_schedule = RetrySchedule("job", len(config.retries.delays_s))
        self._locks = KeyedLocks()

    def run(self, record: Record, context: JobContext) -> Outcome:
        try:
            result = messages.decode_result_record(record.value)
        except UndecodableMessage as error:
            return Poison(str(error))
        if isinstance(result, Redelivery):
            return self._redeliver(record, result, context)
        with (
            task_context(result.task_uuid),
            request_context(result.request_id),
            self._status(record, result, context) as status,
        ):
            if isinstance(result, SeparationFailed) and result.unstored:
                return self._deliver(record, result, callback.failure_body(result), context, status)
            try:
                body = self._published(record, result, context, status)
            except JobError as error:
                if isinstance(result, Separated) or not self._is_last(record, error):
                    raise
                # Bad news needs no store. A record of its own, so that every try of it sends the same bytes,
                # even when the store is back and has a manifest by then.
                log.warning("no manifest for the failure: %s", error.message)
                return Done((self._message(result.model_copy(update={"unstored": True})),))
            return self._deliver(record, result, body, context, status)

    def schedule(self, error: TransientError) -> RetrySchedule:
        if isinstance(error, UnlikelyError):  # the receiver's address is the only one that a user gave
            return self._brief_schedule
        if error.code == ErrorCode.CALLBACK_FAILED:
            return self._callback_schedule
        return self._job_schedule

    def waiting(
        self, record: Record, error: TransientError, next_try_at: float, context: JobContext
    ) -> tuple[Message, ...]:
        """Raises UndecodableMessage for a record that `run` would put aside."""
        result = messages.decode_result_record(record.value)
        if isinstance(result, Redelivery):
            return ()  # the run was over before
        if webhook.is_about_callback(error) or isinstance(result, SeparationFailed):
            return ()  # `run` has told of the callback; a failed run is over, whatever its callback waits for
        callbacks, jobs = self._tries(record)
        status = self._statuses.job(result, (callbacks, jobs + 1))
        return (status.ended(State.UPLOADING, next_try_at=next_try_at, **failure(error)),)

    def give_up(self, record: Record, error: JobError, context: JobContext) -> Done:
        """A callback that nobody takes is kept, stems that cannot be published make the run a failed one."""
        result = messages.decode_result_record(record.value)
        with task_context(result.task_uuid), request_context(result.request_id):
            log.error("given up (%s): %s", error.code, error.message)
            is_unwanted = error.code in UNWANTED
            is_kept = isinstance(error, PermanentError) and not is_unwanted
            letters = (self._letter(record, error, context),) if is_kept else ()
            if isinstance(result, Redelivery) or webhook.is_about_callback(error):
                return Done(letters)  # how the run has ended was told before
            status = self._status(record, result, context)
            if isinstance(result, SeparationFailed):
                told = of_failure(status, callback.failure_of(result), result.unstored)
                return Done((told, *letters))
            if self._calls_before(record):
                return Done((status.ended(State.FAILED, **failure(error)), *letters))
            # A record of its own, so that its callback has all its tries. The staged files wait for a replay.
            failed = self._message(callback.as_failed(result, error, self._wall_clock))
            told = status.ended(State.DELIVERING, progress=None, **failure(error))
            done = Done((failed, told, *letters))
            return replace(done, after_commit=partial(self._remove_staged, result)) if is_unwanted else done

    def _tries(self, record: Record) -> tuple[int, int]:
        """Those of the callback begin the others anew."""
        past = retry.history(record)
        return past.tries(self._callback_schedule), past.tries(self._job_schedule)

    def _status(self, record: Record, result: Separated | SeparationFailed, context: JobContext) -> JobStatus:
        return self._statuses.job(
            result, self._tries(record), context.attempt, context.attempt - context.counted_attempts
        )

    def _published(
        self, record: Record, result: Separated | SeparationFailed, context: JobContext, status: JobStatus
    ) -> bytes:
        """Returns the callback's body once it and all that it names are in the store. Raises JobError."""
        # A repeated Idempotency-Key can bring two results of one run, side by side: were both uploaded, one's
        # manifest could name the digests of stems that the other has just overwritten.
        with self._locks.hold(run_id(result), context):
            body = self._publish(record, result, context, status)
            Failpoint.MANIFEST_WRITTEN.reach()
            self._tidy(record, result, body)
            return body

    def _publish(
        self, record: Record, result: Separated | SeparationFailed, context: JobContext, status: JobStatus
    ) -> bytes:
        """The callback's body, once all that it names is in the store. Raises JobError."""
        keys = self._keys(result)
        published = self._storage.get_manifest(keys.manifest)
        if published is not None:
            log.info("published before: the callback goes out as it was")
            return published
        with self._ending(record, result, context) as stoppable:
            body = self._body(result, keys, stoppable, status)
            stoppable.check()
        Failpoint.UPLOADED.reach()
        return self._storage.put_manifest(keys.manifest, body)

    def _ending(
        self, record: Record, result: Separated | SeparationFailed, context: JobContext
    ) -> AbstractContextManager[JobContext]:
        """A run that has failed, or whose success was told, does not end otherwise any more."""
        if isinstance(result, SeparationFailed) or self._calls_before(record):
            return nullcontext(context)
        return self._cancels.stoppable(result, context)

    def _body(
        self,
        result: Separated | SeparationFailed,
        keys: RunKeys,
        context: JobContext,
        status: JobStatus,
    ) -> bytes:
        """Uploads what the body names."""
        if isinstance(result, SeparationFailed):
            return callback.failure_body(result)
        status.enter(State.UPLOADING)
        with self._metrics.worker.timed(Phase.UPLOAD):
            links = stems.publish(result, keys, self._stage, self._storage, context.check, status.advance)
        return callback.success_body(result, links, self._wall_clock())

    def _tidy(self, record: Record, result: Separated | SeparationFailed, body: bytes) -> None:
        """Once the manifest is there, removes what nobody needs again, whoever gets this record next."""
        failed = callback.as_failure(body)
        if failed and not self._calls_before(record):
            self._storage.remove_unnamed(self._keys(result))
        # The staged files of another failure stay: a replay can still publish them.
        if not failed or failed.error_code in UNWANTED:
            self._retire_staged(result)

    def _retire_staged(self, result: Separated | SeparationFailed) -> None:
        if isinstance(result, Separated):
            for key in stems.staged_keys(result):
                self._stage.retire(key)

    def _keys(self, result: Separated | SeparationFailed) -> RunKeys:
        return RunKeys(self._config.s3_prefix, result.task_uuid, result.run)

    def _calls_before(self, record: Record) -> int:
        return retry.history(record).tries(self._callback_schedule)

    def _is_last(self, record: Record, error: JobError) -> bool:
        """Whether this failure to publish is the end, before anything was told."""
        again = isinstance(error, TransientError) and self._next_delay_s(record, error) is not None
        return not again and not self._calls_before(record)

    def _next_delay_s(self, record: Record, error: TransientError) -> int | None:
        return self._config.retries.delay_s(record, error, self.schedule(error))

    def _deliver(
        self,
        record: Record,
        result: Separated | SeparationFailed,
        body: bytes,
        context: JobContext,
        status: JobStatus,
    ) -> Outcome:
        """Posts the callback once, where somebody wants it and there is a place for it."""
        if result.hook_url is None:
            told = of_delivery(status, body, None, None, 0)
            return Done((told,), after_commit=partial(self._remove_retired, result))
        claim = callback_claim(result)
        if not context.take_place(claim):
            return Deferred(claim, of_waiting(status, body))
        # From here on the receiver has the time: another result may have this one's slot.
        context.leave_slot()
        if succeeded := callback.as_success(body):
            # Who waits for the stems need not wait for the receiver.
            status.enter(State.DELIVERING, result=succeeded, model=succeeded.model, device=succeeded.device)
        error, noted = self._courier.post(
            result,
            run_id(result),
            body,
            self._calls_before(record) + 1,
            context.check,
            partial(self._next_delay_s, record),
        )
        unstored = isinstance(result, SeparationFailed) and result.unstored
        next_try_at = self._next_try_at(record, error)
        told = of_delivery(status, body, error, next_try_at, self._calls_before(record), unstored)
        remove = partial(self._remove_retired, result)
        if error is None:
            log.info("callback delivered")
            return Done((noted, told), after_commit=remove)
        return Failed(error, (noted, told), after_commit=remove)

    def _redeliver(self, record: Record, asked: Redelivery, context: JobContext) -> Outcome:
        claim, next_delay = callback_claim(asked), partial(self._next_delay_s, record)
        with task_context(asked.task_uuid), request_context(asked.request_id):
            if not context.take_place(claim):
                return Deferred(claim)
            context.leave_slot()
            number = self._calls_before(record) + 1
            return self._redeliverer.run(asked, run_id(asked), number, context, next_delay)

    def _next_try_at(self, record: Record, error: JobError | None) -> float | None:
        delay_s = self._next_delay_s(record, error) if isinstance(error, TransientError) else None
        return None if delay_s is None else self._wall_clock() + delay_s

    def _letter(self, record: Record, error: JobError, context: JobContext) -> Message:
        topic, past = self._config.dead_letter_topic, retry.history(record)
        return dead_letters.letter(topic, record, error.code, error.message, context.counted_attempts, past)

    def _message(self, failed: SeparationFailed) -> Message:
        return Message(self._config.result_topic, str(failed.task_uuid).encode(), failed.to_bytes())

    def _remove_staged(self, result: Separated | SeparationFailed) -> None:
        self._retire_staged(result)
        self._remove_retired(result)

    def _remove_retired(self, result: Separated | SeparationFailed) -> None:
        if isinstance(result, Separated):
            for key in stems.staged_keys(result):
                self._stage.remove_retired(key)
