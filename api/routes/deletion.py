"""`DELETE /tasks/{task_uuid}`: remove a task's stems and everything but the fact that it was."""

import logging
import time
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from api.problems import ProblemError
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User, VisibleTask
from api.routes.parts import Parts
from api.routes.responses import answer, answers_to_a_change, problem_answer
from api.view.usage import audio_s_of, model_of
from common.observability.log import current_request_id, task_context
from common.tasks.messages import Deletion, State, Status

log = logging.getLogger(__name__)
router = APIRouter(prefix="/tasks", tags=["tasks"])

TASK_RUNNING = "task_running"
TASK_DELETED = "task_deleted"
_RUNS = (
    "The task is {state}: cancel it first by POST /tasks/{task_uuid}/cancel, and delete it once it has ended"
)
_CALLS = (
    "The task's callback is still to come: delete the task once its receiver has taken the callback, or once "
    "no further try is made (GET /tasks/{task_uuid}/deliveries)"
)
_NOT_QUEUED = "The deletion could not be queued in time; please ask for it again"
_TASK_UUID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")


class DeletionQueued(BaseModel):
    """The answer once the deletion is safely queued, and to each repetition."""

    message: str = "The task's stems and what it was submitted with will be removed within moments"
    task_uuid: UUID


_ANSWERS = answers_to_a_change(
    answer(
        "The deletion is queued: the broker has confirmed it. An uploader removes the stems, the manifest, "
        "and an upload that no other task uses. `GET /tasks/{task_uuid}` then has `deleted_at`, the state, "
        "the user and the times, and nothing else. A repeated deletion gets the same answer",
        DeletionQueued(task_uuid=_TASK_UUID),
    ),
    problem_answer(
        409,
        "The task runs, or its callback is still to come (`error_code` `task_running`)",
        _RUNS.format(state=State.SEPARATING, task_uuid=_TASK_UUID),
        error_code=TASK_RUNNING,
        state=State.SEPARATING,
    ),
    _NOT_QUEUED,
)


@router.delete(
    "/{task_uuid}",
    summary="Delete a task's results",
    status_code=202,
    responses=_ANSWERS,
)
async def delete(status: VisibleTask, user: User, parts: Parts) -> DeletionQueued:
    """Remove everything that is kept of a task that is over but the fact that it was."""
    queued = DeletionQueued(task_uuid=status.task_uuid)
    if status.deleted_at is not None:
        return queued
    deletion = _deletion_of(status, user, time.time())
    with task_context(status.task_uuid):
        with confirmed_in_time("Deletion not queued", _NOT_QUEUED):
            await parts.publisher.publish(deletion)
        log.info("Deletion queued for %s: the results up to run %d", user, status.run)
    return queued


def refuse_deleted(status: Status) -> None:
    """Raise ProblemError 410 if the task's results are deleted."""
    if status.deleted_at is not None:
        raise ProblemError(
            410, "The task's results have been deleted", error_code=TASK_DELETED, state=status.state
        )


def _deletion_of(status: Status, user: str, now_s: float) -> Deletion:
    """Raise ProblemError 409 while the task runs, or its callback is still to come."""
    is_called = status.state is State.DELIVERING or status.callback_next_try_at is not None
    if is_called or not status.state.is_final:
        detail = (_CALLS if is_called else _RUNS).format(state=status.state, task_uuid=status.task_uuid)
        raise ProblemError(409, detail, error_code=TASK_RUNNING, state=status.state)
    return Deletion(
        task_uuid=status.task_uuid,
        run=status.run,
        requested_at=now_s,
        user=user,
        request_id=current_request_id(),
        audio=status.audio,
        owner=status.user,
        submitted_at=status.submitted_at,
        state=status.state,
        times=status.times,
        audio_s=audio_s_of(status),
        engine_s=status.engine_s,
        model=model_of(status),
        stem_url=next((stem.url for stem in status.result.stems.values()), None) if status.result else None,
    )
