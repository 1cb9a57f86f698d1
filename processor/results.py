"""Builds the results that the processor announces: a task's staged stems, or its failure."""

from typing import Any

from common.errors import JobError
from common.outbound.addresses import without_secrets
from common.tasks.messages import Separated, SeparationFailed, StagedStem, Task, Times
from processor.engine.protocol import Separation


def separated(
    task: Task, stems: dict[str, StagedStem], separation: Separation, finished_at: float, times: Times
) -> Separated:
    """`finished_at` is in seconds since the epoch; `times` is when the task entered each state."""
    return Separated(
        **_shared_fields(task),
        finished_at=finished_at,
        stems=stems,
        model=separation.model,
        device=separation.device,
        gain=separation.gain,
        times=times,
    )


def separation_failed(task: Task, error: JobError, finished_at: float, times: Times) -> SeparationFailed:
    """`finished_at` is in seconds since the epoch; `times` is when the task entered each state."""
    return SeparationFailed(
        **_shared_fields(task),
        finished_at=finished_at,
        error_code=error.code,
        error_message=error.short_message,
        times=times,
    )


def _shared_fields(task: Task) -> dict[str, Any]:
    """Returns the fields that every result takes over from its task."""
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
