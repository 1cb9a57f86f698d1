"""Builds the results that a job publishes: its staged stems, or why it failed."""

from collections.abc import Mapping
from typing import Any

from common import __version__
from common.errors import JobError
from common.storage.stage_interface import StageMode
from common.tasks.audio import shown_audio
from common.tasks.job_status import failure
from common.tasks.messages import Separated, SeparationFailed, StagedObject, StagedStem, Task, Times
from common.tasks.messages.manifest import CacheEntry
from processor.presets.maker import Made

# The fields of a cache entry that say how its stems were made.
_MADE = {
    "model",
    "device",
    "runtime",
    "precision",
    "precision_fallback",
    "gain",
    "models",
    "output",
    "version",
}


def separated(
    task: Task,
    audio_s: float,
    made: Made,
    stems: Mapping[str, StagedStem],
    peaks: StagedObject | None,
    stage: StageMode,
    finished_at: float,
    times: Times,
    cache_digest: str | None = None,
) -> Separated:
    """Return the result of a separated song of `audio_s` seconds.

    `finished_at` and `times` are in seconds since the epoch.
    """
    first = made.used[0]
    return Separated(
        **_shared_fields(task),
        finished_at=finished_at,
        stems=dict(stems),
        model=made.model,
        device=made.device,
        runtime=first.runtime,
        precision=first.precision,
        precision_fallback=first.precision_fallback,
        gain=made.gain,
        times=times,
        models=made.used,
        output=made.output,
        peaks=peaks,
        stage=stage,
        version=__version__,
        cache_digest=cache_digest,
        audio_s=audio_s,
        engine_s=made.took_s,
    )


def cached(task: Task, entry: CacheEntry, digest: str, finished_at: float, times: Times) -> Separated:
    """Return the result of a song whose stems the uploader copies from an earlier run, as `entry` says.

    `finished_at` and `times` are in seconds since the epoch.
    """
    stems = {
        # No stem is staged: the key is the file's name alone.
        name: StagedStem(
            key=stem.url.rpartition("/")[2], sha256=stem.sha256, bytes=stem.bytes, duration_s=stem.duration_s
        )
        for name, stem in entry.stems.items()
    }
    made = entry.model_dump(include=_MADE)
    return Separated(
        **_shared_fields(task),
        **made,
        finished_at=finished_at,
        stems=stems,
        times=times,
        cached_from=entry.task_uuid,
        cached_run=entry.run,
        audio_s=max((stem.duration_s for stem in stems.values()), default=0.0),
        engine_s=0.0,
        cache_digest=digest,
        task=task,
    )


def failed(task: Task, error: JobError, finished_at: float, times: Times) -> SeparationFailed:
    """Return the result of a failed task. `finished_at` and `times` are in seconds since the epoch."""
    fields = {**_shared_fields(task), **failure(error)}
    return SeparationFailed(**fields, finished_at=finished_at, times=times)


def _shared_fields(task: Task) -> dict[str, Any]:
    """Return the fields that a result takes over from its task."""
    return {
        "task_uuid": task.task_uuid,
        "hook_url": task.hook_url,
        "hook_events": task.hook_events,
        "run": task.run,
        "submitted_at": task.submitted_at,
        "request_id": task.request_id,
        "user": task.user,
        "cancel_at": task.cancel_at,
        "audio": shown_audio(task.audio),
        "choices": task.choices,
        "label": task.label,
        "metadata": task.metadata,
        "file_name": task.file_name,
        "priority": task.priority,
    }
