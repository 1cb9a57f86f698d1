"""Whose tasks one sees and steers: one's own, and all of them for those who look after all."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Security

from api.auth.basic_auth import BasicAuth
from api.problems import ProblemError
from api.view.view import TaskView
from common.settings.schema import ApiSettings
from common.tasks.messages import Status


def visible_task(settings: ApiSettings, view: TaskView, auth: BasicAuth) -> Callable[..., Awaitable[Status]]:
    """What a route with `{task_uuid}` in its path depends on, to have that task."""

    async def visible(task_uuid: UUID, user: Annotated[str, Security(auth)]) -> Status:
        # Of others' tasks not even that they exist is told, by the time that the answer takes either: ids
        # follow from a user's name and an Idempotency-Key, which anybody can put together.
        whose = None if user in settings.admin_usernames else user
        status = await view.find(task_uuid, user=whose)
        if status is None:
            raise ProblemError(404, "There is no such task")
        return status

    return visible
