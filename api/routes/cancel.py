"""`POST /tasks/{task_uuid}/cancel`: end a task before it has finished."""

import logging
import time

from fastapi import APIRouter

from api.problems import ProblemError
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User, VisibleTask
from api.routes.models import EXAMPLE_SEPARATING, TaskStatus
from api.routes.parts import Parts
from api.routes.responses import answer, answers_to_a_change, problem_answer
from common.observability.log import current_request_id, task_context
from common.tasks.messages import Cancel, State

log = logging.getLogger(__name__)
router = APIRouter(prefix="/tasks", tags=["tasks"])

_NOT_CANCELLED = "The task could not be cancelled in time; please try again"

_ANSWERS = answers_to_a_change(
    answer(
        "The cancellation is stored. The task ends at once, or when a worker reaches it, in the state "
        "`cancelled`; its callback says `failed` with the `error_code` `cancelled`. A repeated request "
        "changes nothing, nor does one for a task whose stems are published (`delivering`). The body is the "
        "task's status now",
        EXAMPLE_SEPARATING,
    ),
    problem_answer(
        409, "The task is over, as its `state` says", "The task is over: succeeded", state=State.SUCCEEDED
    ),
    _NOT_CANCELLED,
)


@router.post(
    "/{task_uuid}/cancel",
    summary="Cancel a task",
    status_code=202,
    response_model_exclude_none=True,
    responses=_ANSWERS,
)
async def cancel(status: VisibleTask, user: User, parts: Parts) -> TaskStatus:
    """End a task before it has finished. The answer comes as soon as the cancellation is stored. The callback
    or the task's `state` says when the task has ended."""
    if status.state.is_final:
        raise ProblemError(409, f"The task is over: {status.state}", state=status.state)
    cancellation = Cancel(
        task_uuid=status.task_uuid,
        run=status.run,
        requested_at=time.time(),
        user=user,
        request_id=current_request_id(),
    )
    with task_context(status.task_uuid):
        with confirmed_in_time("Cancel not stored", _NOT_CANCELLED):
            await parts.publisher.publish(cancellation)
        log.info("Task cancelled by %s: run %d", user, status.run)
    return TaskStatus.of(status)  # without a place in the queue, because no worker will process the task
