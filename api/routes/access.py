"""Finds the caller and the task or batch of a request. Users see and change their own, administrators all.

FastAPI resolves a dependency wherever another one names it, even where it then takes the known value. So the
functions here name few.
"""

from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from api.auth.caller import Caller
from api.problems import ProblemError
from api.routes.parts import parts_of
from common.tasks.messages import Status, TaskBatch

T = TypeVar("T")


class _SignedIn(SecurityBase):
    """The dependency that returns the caller. It raises ProblemError: 401, 403, 429 or 503."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic", description="one of the users that the operator has set up")
        self.scheme_name = "HTTPBasic"

    async def __call__(self, request: Request) -> Caller:
        return await parts_of(request).auth.caller_of(request)


class _KeyScheme(SecurityBase):
    """Only describes keys in the OpenAPI document: `_SignedIn` reads both kinds of header."""

    def __init__(self) -> None:
        self.model = HTTPBase(
            scheme="bearer", description="a key that the operator has made by `python -m api keys create`"
        )
        self.scheme_name = "HTTPBearer"

    async def __call__(self) -> None: ...


async def caller(
    signed_in: Annotated[Caller, Security(_SignedIn())], _: Annotated[None, Security(_KeyScheme())]
) -> Caller:
    return signed_in


async def user(signed_in: Annotated[Caller, Depends(caller)]) -> str:
    """Return the user's name."""
    return signed_in.user


async def is_admin(request: Request, signed_in: Annotated[Caller, Depends(caller)]) -> bool:
    """Return whether the caller has an administrator's rights, by its user and by its key's scopes."""
    return parts_of(request).auth.is_admin(signed_in)


User = Annotated[str, Depends(user)]
IsAdmin = Annotated[bool, Depends(is_admin)]


async def administrator(user: User, is_admin: IsAdmin) -> str:
    """Return the name of a user in ADMIN_USERNAMES. Raise ProblemError 403 for any other."""
    if not is_admin:
        raise ProblemError(403, "Only users in ADMIN_USERNAMES may see or do this", error_code="not_an_admin")
    return user


Admin = Annotated[str, Depends(administrator)]


async def owner(request: Request, signed_in: Annotated[Caller, Depends(caller)]) -> str | None:
    """Return the user whose tasks and batches the caller sees; None for those of all users."""
    return None if parts_of(request).auth.is_admin(signed_in) else signed_in.user


Owner = Annotated[str | None, Depends(owner)]


# Not even a task's existence is told to other users, nor is it given away by the time that an answer takes:
# anybody can compute the id that follows from a user's name and an Idempotency-Key. So is it with batches.
async def visible_task(request: Request, task_uuid: UUID, owner: Owner) -> Status:
    """Return the task that the path names. Raise ProblemError 404 if the caller may not see it."""
    return _found(await parts_of(request).view.find(task_uuid, user=owner), "task")


async def visible_batch(request: Request, batch_uuid: UUID, owner: Owner) -> TaskBatch:
    """Return the batch that the path names. Raise ProblemError 404 if the caller may not see it."""
    return _found(await parts_of(request).view.find_batch(batch_uuid, user=owner), "batch")


def _found(thing: T | None, kind: str) -> T:
    if thing is None:
        raise ProblemError(404, f"There is no such {kind}")
    return thing


VisibleTask = Annotated[Status, Depends(visible_task)]
VisibleBatch = Annotated[TaskBatch, Depends(visible_batch)]
