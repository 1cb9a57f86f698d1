"""`POST /tasks/{task_uuid}/redeliver`: send a task's callback again to a receiver that missed or lost it."""

import logging
import time

from fastapi import APIRouter

from api.problems import ProblemError
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User, VisibleTask
from api.routes.deletion import TASK_DELETED, refuse_deleted
from api.routes.models import EXAMPLE_SUCCEEDED, TaskStatus
from api.routes.parts import Parts
from api.routes.responses import SECONDS, Answer, answer, answers_to_a_change, problem_answer
from common.observability.log import current_request_id, task_context
from common.tasks.messages import Redelivery, State, Status

log = logging.getLogger(__name__)
router = APIRouter(prefix="/tasks", tags=["tasks"])

_NOT_OVER = "The task is not over: its callback is still to come"
_NOBODY_TO_CALL = "No hook_url of this task is known: there is no receiver to send the callback to"
_NOT_QUEUED = "The redelivery could not be queued in time; please ask for it again"


def too_many_redeliveries(kind: str) -> Answer:
    """Describe the answer 429. `kind` is what the callback belongs to."""
    return problem_answer(
        429,
        f"Too many redeliveries of this {kind}, or of yours (`error_code` `too_many_redeliveries`), or too "
        "many wrong credentials came from this address",
        f"Too many redeliveries of this {kind} were requested; please ask again in 20 s",
        error_code="too_many_redeliveries",
        Retry_After=SECONDS,
    )


_ANSWERS = answers_to_a_change(
    answer(
        "The redelivery is queued: the broker has confirmed it. The body is the task's status, which a "
        "redelivery does not change",
        EXAMPLE_SUCCEEDED,
    ),
    problem_answer(
        409, "The task is not over yet (`state`), or it has no `hook_url`", _NOT_OVER, state=State.DELIVERING
    ),
    _NOT_QUEUED,
) | {
    410: problem_answer(
        410,
        "The task's results have been deleted",
        "The task's results have been deleted",
        error_code=TASK_DELETED,
        state=State.SUCCEEDED,
    ),
    429: too_many_redeliveries("task"),
}


@router.post(
    "/{task_uuid}/redeliver",
    summary="Send a task's callback again",
    status_code=202,
    response_model_exclude_none=True,
    responses=_ANSWERS,
)
async def redeliver(status: VisibleTask, user: User, parts: Parts) -> TaskStatus:
    """Send the callback of a task that is over once more: the same bytes, the same `webhook-id`."""
    redelivery = _redelivery_of(status, user, time.time())
    with task_context(status.task_uuid), parts.redelivery_limits.counted(user, status.task_uuid):
        with confirmed_in_time("Redelivery not queued", _NOT_QUEUED):
            await parts.publisher.publish(redelivery)
        log.info("Redelivery queued for %s: the callback of run %d", user, status.run)
    return TaskStatus.of(await parts.links.renewed(status))


def _redelivery_of(status: Status, user: str, now_s: float) -> Redelivery:
    """Raise ProblemError 409 where the callback is still to come or has no receiver, 410 once deleted."""
    refuse_deleted(status)
    if not status.state.is_final:
        raise ProblemError(409, _NOT_OVER, state=status.state)
    if status.hook_url is None:
        raise ProblemError(409, _NOBODY_TO_CALL, state=status.state)
    return Redelivery(
        task_uuid=status.task_uuid,
        hook_url=status.hook_url,
        run=status.run,
        requested_at=now_s,
        user=user,
        request_id=current_request_id(),
        failure=status.failure,
        unstored=status.unstored,
    )
