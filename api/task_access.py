"""Whose tasks one sees and steers: one's own, and all of them for those who look after all."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Security

from api.auth import BasicAuth
from api.problems import ProblemError
from api.view.view import TaskView
from common.messages import Status
from common.settings import ApiSettings


def visible_task(settings: ApiSettings, view: TaskView, auth: BasicAuth) -> Callable[..., Awaitable[Status]]:
    """What a route with `{task_uuid}` in its path depends on, to have that task."""

    async def visible(task_uuid: UUID, user: Annotated[str, Security(auth)]) -> Status:
        status = await view.find(task_uuid)
        # Of others' tasks not even that they exist is told.
        if status is None or user not in (status.user, *settings.admin_usernames):
            raise ProblemError(404, "There is no such task")
        return status

    return visible
