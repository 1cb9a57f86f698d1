"""`POST /tasks/{task_uuid}/cancel`: a user changes the course of a task."""

import logging
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Security

from api import task_documentation as documentation
from api.auth.basic_auth import BasicAuth
from api.problems import ProblemError
from api.publishing.publisher import TaskQueue
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import visible_task
from api.routes.models import TaskStatus
from api.view.view import TaskView
from common.observability.log import current_request_id, task_context
from common.settings.schema import ApiSettings
from common.tasks.messages import Cancel, Status

log = logging.getLogger(__name__)


def make_steering_router(
    settings: ApiSettings, queue: TaskQueue, view: TaskView, auth: BasicAuth
) -> APIRouter:
    router = APIRouter(prefix="/tasks")
    Visible = Annotated[Status, Depends(visible_task(settings, view, auth))]

    @router.post(
        "/{task_uuid}/cancel", status_code=202, response_model_exclude_none=True, **documentation.CANCEL
    )
    async def cancel(status: Visible, user: Annotated[str, Security(auth)]) -> TaskStatus:
        """End the task before its end. The answer comes once that is safely stored, and before it is done:
        the callback, or the task's `state`, says that it was."""
        if status.state.is_final:
            raise ProblemError(409, f"The task is over: {status.state}", state=status.state)
        wish = Cancel(
            task_uuid=status.task_uuid,
            run=status.run,
            requested_at=time.time(),
            user=user,
            request_id=current_request_id(),
        )
        with task_context(status.task_uuid):
            with confirmed_in_time(
                "Cancel not stored", "The task could not be cancelled in time; please try again"
            ):
                await queue.publish(wish)
            log.info("Task cancelled by %s: run %d", user, status.run)
        return TaskStatus.of(status)  # without its place in the queue: nobody will take it

    return router
