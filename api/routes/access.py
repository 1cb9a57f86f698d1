"""Finds the user and the task of a request. Users see and change their own tasks, administrators all."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from api.problems import ProblemError
from api.routes.parts import Parts
from common.tasks.messages import Status


class _SignedIn(SecurityBase):
    """The dependency that returns the user's name. It raises ProblemError: 401, 429 or 503."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic", description="one of the users that the operator has set up")
        self.scheme_name = "HTTPBasic"

    async def __call__(self, request: Request, parts: Parts) -> str:
        return await parts.auth.user_of(request)


User = Annotated[str, Security(_SignedIn())]


async def administrator(user: User, parts: Parts) -> str:
    """Return the name of a user in ADMIN_USERNAMES. Raise ProblemError 403 for any other."""
    if user not in parts.settings.admin_usernames:
        raise ProblemError(403, "Only users in ADMIN_USERNAMES may see or do this", error_code="not_an_admin")
    return user


Admin = Annotated[str, Depends(administrator)]


async def visible_task(task_uuid: UUID, user: User, parts: Parts) -> Status:
    """Return the status of the task that the path names. Raise ProblemError 404 if `user` may not see it."""
    # Not even a task's existence is told to other users, nor is it given away by the time that an answer
    # takes: anybody can compute the id that follows from a user's name and an Idempotency-Key.
    owner = None if user in parts.settings.admin_usernames else user
    status = await parts.view.find(task_uuid, user=owner)
    if status is None:
        raise ProblemError(404, "There is no such task")
    return status


VisibleTask = Annotated[Status, Depends(visible_task)]
