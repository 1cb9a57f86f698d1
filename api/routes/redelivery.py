"""`POST /tasks/{task_uuid}/redeliver`: for who has missed a callback, or lost it."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Security

from api import task_documentation as documentation
from api.auth.basic_auth import BasicAuth
from api.limiter import RateLimiter
from api.links.renewer import FreshLinks
from api.problems import ProblemError
from api.publishing.publisher import TaskQueue
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import visible_task
from api.routes.models import TaskStatus
from api.view.view import TaskView
from common.observability.log import current_request_id, task_context
from common.settings.schema import ApiSettings
from common.tasks.messages import Redelivery, Status

log = logging.getLogger(__name__)

_PER_MINUTE_OF_TASK = 3


class RedeliveryLimits:
    """How often one user may ask for redeliveries, and how often anybody may for one task.

    Each redelivery is tried for a day where nobody takes it.
    """

    def __init__(self, per_minute_of_user: int, clock: Callable[[], float]):
        self._of_user = RateLimiter(per_minute_of_user, clock)
        self._of_task = RateLimiter(_PER_MINUTE_OF_TASK, clock)

    @contextmanager
    def counted(self, user: str, status: Status) -> Iterator[None]:
        """Counts a redelivery unless its block raises. Raises ProblemError where there were too many."""
        task_uuid = str(status.task_uuid)
        self._check(self._of_task.retry_after_s(task_uuid), "This task's callback was asked for too often")
        self._check(self._of_user.retry_after_s(user), "You have asked for too many redeliveries")
        # Before anything is waited for, or others of a burst find the same room.
        self._of_task.take(task_uuid)
        self._of_user.take(user)
        try:
            yield
        except BaseException:
            self._of_task.give_back(task_uuid)
            self._of_user.give_back(user)
            raise

    def _check(self, retry_after_s: float, said: str) -> None:
        if not retry_after_s:
            return
        wait_s = math.ceil(retry_after_s)
        raise ProblemError(
            429,
            f"{said}; please ask again in {wait_s} s",
            error_code="too_many_redeliveries",
            headers={"Retry-After": str(wait_s)},
        )


def make_redelivery_router(
    settings: ApiSettings,
    queue: TaskQueue,
    view: TaskView,
    auth: BasicAuth,
    links: FreshLinks,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> APIRouter:
    router = APIRouter(prefix="/tasks")
    limits = RedeliveryLimits(settings.redeliveries_per_minute, clock)
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
        with task_context(status.task_uuid), limits.counted(user, status):
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
