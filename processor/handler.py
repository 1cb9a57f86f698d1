"""Runs a task's job in the processor: download, prepare, separate, stage, publish the result."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import ErrorCode, JobError, PermanentError, TransientError, UnlikelyError, is_disk_full
from common.failpoint import Failpoint
from common.jobs import retry
from common.jobs.handler import Job, JobContext
from common.jobs.outcome import Deferred, Done, Failed, Outcome, Poison
from common.jobs.retry import Decision, GivenUp, Retry, RetrySchedule
from common.kafka.records import Message, Record
from common.observability.log import request_context, task_context
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage_interface import Stage
from common.tasks import messages
from common.tasks.cancels import Cancels
from common.tasks.job_status import JobStatus, Statuses, failure
from common.tasks.messages import Separated, SeparationFailed, State, Task, UndecodableMessage
from common.tasks.messages.choices import Format
from common.tasks.stage_news import StageWatch
from processor import results, work_directory
from processor.audio.prepare import AudioLimits, PreparedAudio, prepare
from processor.audio.transfer import DownloadLimits
from processor.cache import ResultCache
from processor.child_process import Spawn, spawn_for_song
from processor.engine.protocol import SeparationEngine
from processor.fetching import Fetcher
from processor.metrics import Phase, ProcessorMetrics
from processor.places import download_claim
from processor.presets.maker import Maker, Plan
from processor.presets.recipe import Recipes
from processor.staging import put_in_stage, put_peaks_in_stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessorConfig:
    """The handler's settings; `download` and `audio` limit each song.

    `temp_dir` belongs to this process alone. `retries` counts the tries after the first. `format` is that of
    the stems where a task names none.
    """

    result_topic: str
    temp_dir: Path
    retries: int
    download: DownloadLimits
    audio: AudioLimits
    format: Format = "wav"


class ProcessorHandler:
    """Turns records of the task topic into results.

    Thread-safe: several jobs run at once, and the engine takes one of them at a time.
    """

    def __init__(
        self,
        config: ProcessorConfig,
        network: OutboundNetwork,
        engine: SeparationEngine,
        stage: Stage,
        statuses: Statuses,
        wall_clock: Callable[[], float] = time.time,
        metrics: ProcessorMetrics | None = None,
        cancels: Cancels | None = None,
        stages: StageWatch | None = None,
        recipes: Recipes | None = None,
        cache: ResultCache | None = None,
        fetcher: Fetcher | None = None,
        spawn: Spawn = spawn_for_song,
    ):
        self._cancels = cancels or Cancels()
        self._stages, self._cache = stages, cache
        self._metrics = metrics or ProcessorMetrics.create()
        self._config = config
        self._statuses = statuses
        self._schedule = RetrySchedule("job", config.retries, resets=(retry.BRIEF,))
        self._brief_schedule = retry.brief_schedule(self._schedule)
        self._fetcher = fetcher or Fetcher(config.download, network)
        self._maker = Maker(engine, recipes or Recipes(("default",), {}), config.format, spawn)
        self._stage, self._spawn = stage, spawn
        self._wall_clock = wall_clock

    def decode(self, record: Record) -> Task | Poison:
        try:
            return messages.decode_task(record.value)
        except UndecodableMessage as error:
            return Poison(str(error))

    def run(self, job: Job[Task], context: JobContext) -> Outcome:
        task, record = job.content, job.record
        if not context.take_place(claim := download_claim(task)):
            return Deferred(claim)
        with (
            task_context(task.task_uuid),
            request_context(task.request_id),
            self._status(job, context) as status,
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
            # `undo`: a worker that was frozen may have lost the record, and then no result names its stems.
            # What is only copied skips UPLOADING: if its stems are gone by then, it comes here once more.
            uploading = () if result.cached_from else (self._uploading(result),)
            return Done((self._message(result), *uploading), undo=unstage)

    def schedule(self, error: TransientError) -> RetrySchedule:
        """Return the retry schedule for `error`: a short one for errors that a retry seldom mends."""
        return self._brief_schedule if isinstance(error, UnlikelyError) else self._schedule

    def after_failure(self, job: Job[Task], failed: Failed, decision: Decision, context: JobContext) -> Done:
        match decision:
            case Retry(at=next_try_at):
                return Done((self._queued_again(job, failed.error, next_try_at),))
            case GivenUp():
                return self._give_up(job, failed.error, decision, context)

    def _queued_again(self, job: Job[Task], error: JobError, next_try_at: float) -> Message:
        status = self._statuses.job(job.content, (self._tries(job) + 1,))
        return status.ended(State.QUEUED, next_try_at=next_try_at, **failure(error))

    def _give_up(self, job: Job[Task], error: JobError, decision: GivenUp, context: JobContext) -> Done:
        task = job.content
        with task_context(task.task_uuid), request_context(task.request_id):
            log.error("task failed (%s): %s", error.code, error.message)
            # After too many crashes `run` is not called, so the crashed attempts' stems are removed here.
            self._stage.remove_earlier_attempts(task.task_uuid, job.record.file_label, context.attempt + 1)
        status = self._statuses.job(task, queued_at=self._queued_at(job))
        failed = results.failed(task, error, self._wall_clock(), dict(status.times))
        # The run is not over: of two results of one run, only the uploader can say which one counts.
        delivering = status.ended(State.DELIVERING, progress=None, **failure(error))
        letters = () if isinstance(error, PermanentError) else (decision.letter,)
        return Done((self._message(failed), delivering, *letters))

    def _tries(self, job: Job[Task]) -> int:
        return job.history.tries(self._schedule)

    def _status(self, job: Job[Task], context: JobContext) -> JobStatus:
        handed_back = context.attempt - context.counted_attempts
        return self._statuses.job(
            job.content, (self._tries(job),), context.attempt, handed_back, self._queued_at(job)
        )

    def _queued_at(self, job: Job[Task]) -> float | None:
        """Returns when a retry was queued, in seconds since the epoch; None for a task's first record.

        A retry was queued when its record was written. The first record's message has its own time.
        """
        return job.record.timestamp_ms / 1000 if self._tries(job) else None

    def _uploading(self, result: Separated) -> Message:
        """Return the status of a task that waits for an uploader."""
        return self._statuses.job(result).ended(State.UPLOADING, model=result.model, device=result.device)

    def _message(self, result: Separated | SeparationFailed) -> Message:
        return Message(self._config.result_topic, str(result.task_uuid).encode(), result.to_bytes())

    def _separate(self, task: Task, record: Record, context: JobContext, status: JobStatus) -> Separated:
        plan = self._maker.plan(task.choices)
        name = f"{record.file_label}.{context.attempt}"
        with work_directory.of_attempt(self._config.temp_dir / name) as directory:
            timed = self._metrics.worker.timed
            status.enter(State.DOWNLOADING)
            with timed(Phase.DOWNLOAD):
                fetched = self._fetcher.fetch(task, directory, context, status)
            # Give the place back only with a slot: it lets another song be downloaded, and songs that are
            # downloaded and wait for a slot would fill the disk.
            context.regain_slot()
            context.leave_place()
            song = self._cache.recall(plan, fetched.path, context.check) if self._cache else None
            known = song.stems if song else None
            if cached := self._cached(task, known, status):
                return cached
            status.enter(State.PREPARING)
            mix = self._prepared(fetched.path, directory / "mix.wav", plan, context)
            digest = self._cache.digest(plan, mix, song, context.check) if self._cache and song else None
            if known is None and (cached := self._cached(task, digest, status)):
                return cached
            status.enter(State.SEPARATING)
            began_s = time.monotonic()
            made = self._maker.make(plan, mix, directory / "work", context.check, _progress_of(status))
            log.info("separated on %s in %.1f s", made.device, time.monotonic() - began_s)
            made.warn_of_fallbacks()
            self._metrics.separated(mix.duration_s, made.took_s)
            if self._stages:
                self._stages.wait_to_stage(context.check)
            with timed(Phase.STAGE):
                stems = put_in_stage(self._stage, task, record, context, made)
                peaks = put_peaks_in_stage(self._stage, task, record, context, made)
                now_s, mode = self._wall_clock(), self._stage.mode
                return results.separated(
                    task, mix.duration_s, made, stems, peaks, mode, now_s, status.times, digest
                )

    def _prepared(self, song: Path, target: Path, plan: Plan, context: JobContext) -> PreparedAudio:
        """Decode the downloaded file to `target`, and remove the file."""
        with self._metrics.worker.timed(Phase.PREPARE):
            mix = prepare(
                song,
                target,
                self._config.audio,
                context.check,
                window=plan.window,
                keep_source=plan.keeps_source,
                keep_tags=plan.output.keep_tags,
                spawn=self._spawn,
            )
        song.unlink()
        log.info("prepared %.1f s of audio (%s, peak %.3f)", mix.duration_s, mix.codec, mix.peak)
        return mix

    def _cached(self, task: Task, digest: str | None, status: JobStatus) -> Separated | None:
        """Return the result whose stems there are already, unless its user wants new ones."""
        if self._cache is None or digest is None or task.cache == "refresh":
            return None
        entry = self._cache.find(task, digest)
        self._metrics.looked_up(entry is not None)
        if entry is None:
            return None
        log.info("the stems are those of task %s, run %d", entry.task_uuid, entry.run)
        return results.cached(task, entry, digest, self._wall_clock(), status.times)


def _progress_of(status: JobStatus) -> Callable[[float], None]:
    def on_progress(fraction: float) -> None:
        status.advance(fraction)
        Failpoint.SEPARATING.reach()

    return on_progress
