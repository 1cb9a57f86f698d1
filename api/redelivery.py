"""`POST /tasks/{task_uuid}/redeliver`: for who has missed a callback, or lost it."""

import logging
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Security

from api import task_documentation as documentation
from api.auth import BasicAuth
from api.confirming import confirmed_in_time
from api.fresh_links import FreshLinks
from api.problems import ProblemError
from api.queue import TaskQueue
from api.task_access import visible_task
from api.task_models import TaskStatus
from api.view.view import TaskView
from common.log import current_request_id, task_context
from common.messages import Redelivery, Status
from common.settings import ApiSettings

log = logging.getLogger(__name__)


def make_redelivery_router(
    settings: ApiSettings,
    queue: TaskQueue,
    view: TaskView,
    auth: BasicAuth,
    links: FreshLinks,
    wall_clock: Callable[[], float] = time.time,
) -> APIRouter:
    router = APIRouter(prefix="/tasks")
    Visible = Annotated[Status, Depends(visible_task(settings, view, auth))]

    @router.post(
        "/{task_uuid}/redeliver",
        status_code=202,
        response_model_exclude_none=True,
        **documentation.REDELIVER,
    )
    async def redeliver(status: Visible, user: Annotated[str, Security(auth)]) -> TaskStatus:
        """Send the callback of a task that is over once more: the same bytes, the same `webhook-id`."""
        redelivery = _asked_for(status, user, wall_clock())
        with task_context(status.task_uuid):
            with confirmed_in_time(
                "Redelivery not queued", "The redelivery could not be queued in time; please ask for it again"
            ):
                await queue.publish(redelivery)
            log.info("Redelivery queued for %s: the callback of run %d", user, status.run)
        return TaskStatus.of(await links.renewed(status))

    return router


def _asked_for(status: Status, user: str, now_s: float) -> Redelivery:
    """Raises ProblemError where there is no callback to send, or nobody to send it to."""
    if not status.state.is_final:
        raise ProblemError(409, "The task is not over: its callback is still to come", state=status.state)
    if status.hook_url is None:
        raise ProblemError(
            409, "No hook_url is known of this task: there is nobody to call", state=status.state
        )
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
