"""A result's life in the uploader: publish stems and manifest, then deliver the callback."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from common.errors import UNWANTED, ErrorCode, JobError, TransientError, UnlikelyError
from common.jobs import retry
from common.jobs.handler import Job, JobContext
from common.jobs.outcome import Done, Failed, Outcome, Poison
from common.jobs.retry import Decision, GivenUp, Retry, RetrySchedule
from common.kafka import lanes
from common.kafka.records import Message, Record
from common.observability.log import request_context, task_context
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage_interface import Stage
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.job_status import JobStatus, Statuses, failure
from common.tasks.messages import (
    AnyResultRecord,
    BatchEnded,
    Deletion,
    HookTest,
    Redelivery,
    Separated,
    SeparationFailed,
    State,
    Task,
    UndecodableMessage,
)
from common.tasks.messages.manifest import as_tombstone
from uploader import callback, status_messages, stems
from uploader.batch_callback import BatchCaller
from uploader.cached import StemsGone
from uploader.callback_sender import CallbackSender
from uploader.config import UploaderConfig
from uploader.deletion import Deleter
from uploader.delivery import CallbackFailed, Deliverer
from uploader.hook_test import HookTester
from uploader.metrics import UploaderMetrics
from uploader.publication import Publisher
from uploader.redelivery import Redeliverer
from uploader.songs import SongKeeper
from uploader.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _PublishFailed(Failed):
    """The result could not be published."""


class UploaderHandler:
    """Turns records of the result topic into objects and callbacks. Several jobs at once."""

    def __init__(
        self,
        config: UploaderConfig,
        network: OutboundNetwork,
        storage: Storage,
        stage: Stage,
        statuses: Statuses,
        wall_clock: Callable[[], float] = time.time,
        metrics: UploaderMetrics | None = None,
        cancels: Cancels | None = None,
        songs: SongKeeper | None = None,
    ):
        """`wall_clock` gives seconds since the epoch. `songs` keeps the uploaded songs of tasks."""
        self._config, self._stage, self._statuses = config, stage, statuses
        self._wall_clock = wall_clock
        metrics = metrics or UploaderMetrics.create()
        sender = CallbackSender(
            network,
            config.webhook_secrets,
            config.callback_timeout_s,
            config.delivery_topic,
            wall_clock,
            metrics,
        )
        self._publisher = Publisher(
            config.s3_prefix, storage, stage, cancels or Cancels(), metrics, wall_clock, songs
        )
        self._deliverer = Deliverer(sender, stage)
        self._redeliverer = Redeliverer(config.s3_prefix, storage, sender)
        self._batch_caller = BatchCaller(config.s3_prefix, storage, sender)
        self._hook_tester = HookTester(sender)
        self._deleter = Deleter(config.s3_prefix, storage, statuses.topic, wall_clock)
        self._callback_schedule = RetrySchedule(
            "callback", config.callback_retries, resets=("job", retry.BRIEF)
        )
        self._brief_schedule = retry.brief_schedule(self._callback_schedule)
        self._job_schedule = RetrySchedule("job", config.job_retries)

    def decode(self, record: Record) -> AnyResultRecord | Poison:
        try:
            return messages.decode_result_record(record.value)
        except UndecodableMessage as error:
            return Poison(str(error))

    def run(self, job: Job[AnyResultRecord], context: JobContext) -> Outcome:
        content, tries_before = job.content, self._callback_tries(job)
        with task_context(content.task_uuid), request_context(content.request_id):
            if isinstance(content, Redelivery):
                return self._redeliverer.run(content, tries_before, context)
            if isinstance(content, HookTest):
                return self._hook_tester.run(content, context)
            if isinstance(content, BatchEnded):
                return self._batch_caller.run(content, tries_before, context)
            if isinstance(content, Deletion):
                return self._deleter.run(content, context)
            with self._status(job, content, context) as status:
                try:
                    body = self._published_body(content, tries_before > 0, context, status)
                except JobError as error:
                    return _PublishFailed(error)
                except StemsGone as gone:
                    return self._separated_again(gone.task)
                if as_tombstone(body):
                    log.info("not published: its results were deleted")
                    return Done(after_commit=partial(stems.remove_retired, self._stage, content))
                return self._deliverer.run(content, body, tries_before, context, status)

    def schedule(self, error: TransientError) -> RetrySchedule:
        if isinstance(error, UnlikelyError):  # about the receiver: no other address here comes from a user
            return self._brief_schedule
        if error.code == ErrorCode.CALLBACK_FAILED:
            return self._callback_schedule
        return self._job_schedule

    def after_failure(
        self, job: Job[AnyResultRecord], failed: Failed, decision: Decision, context: JobContext
    ) -> Done:
        content = job.content
        with task_context(content.task_uuid), request_context(content.request_id):
            if isinstance(decision, GivenUp):
                log.error("given up (%s): %s", failed.error.code, failed.error.message)
            if isinstance(content, Redelivery):
                return self._redeliverer.after_failure(content, failed, decision)
            if isinstance(content, HookTest):
                return Done()  # after a crash: whoever asked waits no longer
            if isinstance(content, BatchEnded):
                return self._batch_caller.after_failure(content, failed, decision)
            if isinstance(content, Deletion):
                return Done((decision.letter,) if isinstance(decision, GivenUp) else ())
            if isinstance(failed, CallbackFailed):
                return self._deliverer.after_failure(content, failed, decision)
            if isinstance(decision, Retry):
                return self._wait_to_publish(job, content, failed.error, decision)
            return self._give_up(job, content, failed, decision, context)

    def _published_body(
        self, result: Separated | SeparationFailed, is_reported: bool, context: JobContext, status: JobStatus
    ) -> bytes:
        if isinstance(result, SeparationFailed) and result.unstored:
            return callback.failure_body(result)
        return self._publisher.publish(result, is_reported, context, status)

    def _separated_again(self, task: Task) -> Done:
        """Gives a task back to the processors: the stems that were to be copied are gone.

        In one transaction with the result's offset, so that the task is neither lost nor done twice.
        """
        log.warning("the stems of an earlier task are gone: the song is separated after all")
        topic = lanes.topic(self._config.task_topic, task.priority)
        return Done((Message(topic, str(task.task_uuid).encode(), task.to_bytes()),))

    def _wait_to_publish(
        self,
        job: Job[AnyResultRecord],
        result: Separated | SeparationFailed,
        error: JobError,
        decision: Retry,
    ) -> Done:
        if isinstance(result, SeparationFailed):
            return Done()  # the run is over, whatever its callback waits for
        tries = (self._callback_tries(job), job.history.tries(self._job_schedule) + 1)
        status = self._statuses.job(result, tries)
        return Done((status.ended(State.UPLOADING, next_try_at=decision.at, **failure(error)),))

    def _give_up(
        self,
        job: Job[AnyResultRecord],
        result: Separated | SeparationFailed,
        failed: Failed,
        decision: GivenUp,
        context: JobContext,
    ) -> Done:
        """Ends a run whose result could not be published, or whose record was given up unrun."""
        error, is_reported = failed.error, self._callback_tries(job) > 0
        status = self._status(job, result, context)
        if isinstance(result, Separated) and is_reported:
            return Done((status.ended(State.FAILED, **failure(error)), decision.letter))
        if isinstance(result, Separated):
            return self._fail(result, error, status, decision)
        if isinstance(failed, _PublishFailed) and not is_reported:
            # A failure can be reported without a manifest: publish it again, marked `unstored`. That record
            # sends the same bytes at every try, even if the store is back with a manifest by then.
            log.warning("no manifest for the failure: %s", error.message)
            return Done((self._message(result.model_copy(update={"unstored": True})),))
        ended = status_messages.after_failed_run(status, callback.failure_of(result), result.unstored)
        return Done((ended, decision.letter))

    def _fail(self, result: Separated, error: JobError, status: JobStatus, decision: GivenUp) -> Done:
        """Makes the run a failed one, by a record of its own: so its callback has all its tries."""
        failure_record = self._message(callback.as_failed(result, error, self._wall_clock))
        delivering = status.ended(State.DELIVERING, progress=None, **failure(error))
        if error.code in UNWANTED:
            return Done((failure_record, delivering), after_commit=lambda: self._remove_staged(result))
        # The staged files stay for a replay of the dead letter.
        return Done((failure_record, delivering, decision.letter))

    def _callback_tries(self, job: Job[AnyResultRecord]) -> int:
        """Returns how many tries of the callback have failed. The first reported the run's end."""
        return job.history.tries(self._callback_schedule)

    def _status(
        self, job: Job[AnyResultRecord], result: Separated | SeparationFailed, context: JobContext
    ) -> JobStatus:
        tries = (self._callback_tries(job), job.history.tries(self._job_schedule))
        return self._statuses.job(result, tries, context.attempt, context.attempt - context.counted_attempts)

    def _message(self, failed: SeparationFailed) -> Message:
        return Message(self._config.result_topic, str(failed.task_uuid).encode(), failed.to_bytes())

    def _remove_staged(self, result: Separated) -> None:
        stems.retire(self._stage, result)
        stems.remove_retired(self._stage, result)
