"""Puts an attempt's stems into the stage, where an uploader finds them."""

from common.failpoint import Failpoint
from common.jobs.handler import JobContext
from common.kafka.records import Record
from common.storage.stage_interface import Stage
from common.tasks.messages import StagedObject, StagedStem, Task
from processor.presets.maker import Made


def put_in_stage(
    stage: Stage, task: Task, record: Record, context: JobContext, made: Made
) -> dict[str, StagedStem]:
    """Put the stems of `made` into the stage, and return what the result says of them, by name.

    Raises OSError, TransientError (storage_error), and what `context.check` raises.
    """
    stems = {}
    for name, stem in made.stems.items():
        staged = stage.put(task.task_uuid, record.file_label, context.attempt, stem.path, context.check)
        stems[name] = StagedStem(
            key=staged.key,
            sha256=staged.sha256,
            bytes=staged.size_bytes,
            duration_s=round(stem.duration_s, 3),
            etag=staged.etag,
        )
        Failpoint.STAGING.reach()
    return stems


def put_peaks_in_stage(
    stage: Stage, task: Task, record: Record, context: JobContext, made: Made
) -> StagedObject | None:
    """Put the stems' peaks into the stage, if there are any. Raises as `put_in_stage`."""
    if made.peaks is None:
        return None
    staged = stage.put(task.task_uuid, record.file_label, context.attempt, made.peaks, context.check)
    return StagedObject(key=staged.key, sha256=staged.sha256, bytes=staged.size_bytes, etag=staged.etag)
