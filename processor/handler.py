"""A task's life in the processor: download, prepare, separate, stage, announce."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import ErrorCode, JobError, TransientError, UnlikelyError, is_disk_full
from common.failpoint import Failpoint
from common.jobs import retry
from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Outcome, Poison, RetrySchedule
from common.kafka.records import Message, Record
from common.observability.log import request_context, task_context
from common.outbound.addresses import without_secrets
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage import LocalStage
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.job_status import JobStatus, Statuses, failure
from common.tasks.messages import (
    Separated,
    SeparationFailed,
    StagedStem,
    State,
    Task,
    Times,
    UndecodableMessage,
)
from common.tasks.stage_news import StageWatch
from processor.audio.download import DownloadedFile, DownloadLimits, download
from processor.audio.prepare import AudioLimits, prepare
from processor.engine.protocol import Separation, SeparationEngine
from processor.metrics import Phase, ProcessorMetrics
from processor.places import download_claim

log = logging.getLogger(__name__)

# Most downloads are over by then, so that a processor seldom begins more songs than it has slots.
_SLOT_KEPT_S = 0.5


@dataclass(frozen=True)
class ProcessorConfig:
    """`temp_dir` belongs to this process alone."""

    result_topic: str
    temp_dir: Path
    retries: int
    download: DownloadLimits
    audio: AudioLimits


class ProcessorHandler:
    """Turns records of the task topic into results. Several jobs at once; the engine takes one at a time."""

    def __init__(
        self,
        config: ProcessorConfig,
        network: OutboundNetwork,
        engine: SeparationEngine,
        stage: LocalStage,
        statuses: Statuses,
        wall_clock: Callable[[], float] = time.time,
        metrics: ProcessorMetrics | None = None,
        cancels: Cancels | None = None,
        stages: StageWatch | None = None,
    ):
        self._cancels = cancels or Cancels()
        self._stages = stages
        self._metrics = metrics or ProcessorMetrics.create()
        self._config = config
        self._statuses = statuses
        self._schedule = RetrySchedule("job", config.retries, resets=(retry.BRIEF,))
        self._brief_schedule = retry.brief_schedule(self._schedule)
        self._network = network
        self._engine = engine
        self._stage = stage
        self._wall_clock = wall_clock

    def run(self, record: Record, context: JobContext) -> Outcome:
        try:
            task = messages.decode_task(record.value)
        except UndecodableMessage as error:
            return Poison(str(error))
        if not context.take_place(claim := download_claim(task)):
            return Deferred(claim)
        with (
            task_context(task.task_uuid),
            request_context(task.request_id),
            self._status(task, record, context) as status,
        ):
            log.info("task taken, attempt %d", context.counted_attempts)
            self._stage.remove_earlier_attempts(task.task_uuid, record.file_label, context.attempt)

            def unstage() -> None:
                self._stage.remove_attempt(task.task_uuid, record.file_label, context.attempt)

            try:
                with self._cancels.stoppable(task, context) as stoppable:
                    result = self._separate(task, record, stoppable, status)
            except BaseException as error:
                unstage()
                if is_disk_full(error):
                    raise TransientError(ErrorCode.DISK_FULL, "The disk is full") from error
                raise
            Failpoint.STAGED.reach()
            # A worker that was frozen may have staged behind its successor's back: nobody announces that.
            return Done((self._message(result), self._handed_on(result)), undo=unstage)

    def schedule(self, error: TransientError) -> RetrySchedule:
        return self._brief_schedule if isinstance(error, UnlikelyError) else self._schedule

    def waiting(
        self, record: Record, error: TransientError, next_try_at: float, context: JobContext
    ) -> tuple[Message, ...]:
        """Raises UndecodableMessage for a record that `run` would put aside."""
        task = messages.decode_task(record.value)
        status = self._statuses.job(task, (self._tries(record) + 1,))
        return (status.ended(State.QUEUED, next_try_at=next_try_at, **failure(error)),)

    def give_up(self, record: Record, error: JobError, context: JobContext) -> Done:
        """Raises UndecodableMessage for a record that `run` would put aside."""
        task = messages.decode_task(record.value)
        with task_context(task.task_uuid), request_context(task.request_id):
            log.error("task failed (%s): %s", error.code, error.message)
            # After too many crashes `run` has not been called, and nobody else would remove what they left.
            self._stage.remove_earlier_attempts(task.task_uuid, record.file_label, context.attempt + 1)
        status = self._statuses.job(task, queued_at=self._queued_at(record))
        failed = SeparationFailed(
            **_origin(task),
            finished_at=self._wall_clock(),
            error_code=error.code,
            error_message=error.short_message,
            times=dict(status.times),
        )
        # Not over yet: of two results of one run, side by side, only the uploader can say which one counts.
        told = status.ended(State.DELIVERING, progress=None, **failure(error))
        return Done((self._message(failed), told))

    def _tries(self, record: Record) -> int:
        return retry.history(record).tries(self._schedule)

    def _status(self, task: Task, record: Record, context: JobContext) -> JobStatus:
        handed_back = context.attempt - context.counted_attempts
        return self._statuses.job(
            task, (self._tries(record),), context.attempt, handed_back, self._queued_at(record)
        )

    def _queued_at(self, record: Record) -> float | None:
        """When a retry was queued: its record was written then. The task's own record says it itself."""
        return record.timestamp_ms / 1000 if self._tries(record) else None

    def _handed_on(self, result: Separated) -> Message:
        """It waits for an uploader now."""
        return self._statuses.job(result).ended(State.UPLOADING, model=result.model, device=result.device)

    def _message(self, result: Separated | SeparationFailed) -> Message:
        return Message(self._config.result_topic, str(result.task_uuid).encode(), result.to_bytes())

    def _separate(self, task: Task, record: Record, context: JobContext, status: JobStatus) -> Separated:
        with self._workspace(record, context) as directory:
            timed = self._metrics.worker.timed
            status.enter(State.DOWNLOADING)
            with timed(Phase.DOWNLOAD):
                fetched = self._download(task, directory, context, status)
            context.leave_place()
            context.regain_slot()
            status.enter(State.PREPARING)
            with timed(Phase.PREPARE):
                mix = prepare(fetched.path, directory / "mix.wav", self._config.audio, context.check)
            fetched.path.unlink()
            log.info("prepared %.1f s of audio (%s, peak %.3f)", mix.duration_s, mix.codec, mix.peak)
            stems_dir = directory / "stems"
            stems_dir.mkdir()
            status.enter(State.SEPARATING)
            began_s = time.monotonic()
            separation = self._engine.separate(mix.path, stems_dir, context.check, _at_work(status))
            log.info("separated on %s in %.1f s", separation.device, time.monotonic() - began_s)
            self._metrics.separated(mix.duration_s, separation.took_s)
            if self._stages:
                self._stages.wait_to_stage(context.check)
            with timed(Phase.STAGE):
                return self._put_in_stage(task, record, context, separation, status.times)

    def _download(
        self, task: Task, directory: Path, context: JobContext, status: JobStatus
    ) -> DownloadedFile:
        """Leaves the slot to another song when the host is slow."""
        slot_until_s = time.monotonic() + _SLOT_KEPT_S

        def check() -> None:
            context.check()
            if time.monotonic() > slot_until_s:
                context.leave_slot()

        return download(task.audio, directory, self._config.download, self._network, check, status.advance)

    def _put_in_stage(
        self, task: Task, record: Record, context: JobContext, separation: Separation, times: Times
    ) -> Separated:
        stems = {}
        for name, stem in separation.stems.items():
            context.check()
            staged = self._stage.put(task.task_uuid, record.file_label, context.attempt, stem.path)
            stems[name] = StagedStem(
                key=staged.key,
                sha256=staged.sha256,
                bytes=staged.size_bytes,
                duration_s=round(stem.duration_s, 3),
            )
            Failpoint.STAGING.reach()
        return Separated(
            **_origin(task),
            finished_at=self._wall_clock(),
            stems=stems,
            model=separation.model,
            device=separation.device,
            gain=separation.gain,
            times=times,
        )

    @contextmanager
    def _workspace(self, record: Record, context: JobContext) -> Iterator[Path]:
        """A directory for one attempt, removed with all that is in it."""
        directory = self._config.temp_dir / f"{record.file_label}.{context.attempt}"
        # An offset that an operator has set back brings the same attempt once more.
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _origin(task: Task) -> dict:
    return {
        "task_uuid": task.task_uuid,
        "hook_url": task.hook_url,
        "run": task.run,
        "submitted_at": task.submitted_at,
        "request_id": task.request_id,
        "user": task.user,
        "cancel_at": task.cancel_at,
        "audio": without_secrets(task.audio),
    }


def _at_work(status: JobStatus) -> Callable[[float], None]:
    def on_progress(fraction: float) -> None:
        status.advance(fraction)
        Failpoint.SEPARATING.reach()

    return on_progress
