"""`GET /usage`: how many bytes a user's stems and uploads take in the bucket."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.archive.errors import BucketUnavailable
from api.problems import ProblemError
from api.routes.access import IsAdmin, User
from api.routes.parts import Parts
from api.routes.responses import answer, answers_about_tasks

router = APIRouter(tags=["usage"])


class Space(BaseModel):
    """Something that takes space in the bucket."""

    count: int
    bytes: int


class UserUsage(BaseModel):
    """The space that one user's files take."""

    user: str
    results: Space = Field(description="tasks whose stems are kept, and the bytes of the stems")
    uploads: Space | None = Field(
        default=None, description="uploaded songs; absent where the api cannot read the bucket"
    )


class Usage(BaseModel):
    """The space that files take in the bucket, by user."""

    users: list[UserUsage]


_EXAMPLE = Usage(
    users=[
        UserUsage(
            user="alice",
            results=Space(count=12, bytes=1_016_064_528),
            uploads=Space(count=1, bytes=48_318_382),
        )
    ]
)


@router.get(
    "/usage",
    summary="How much space is used",
    response_model_exclude_none=True,
    responses=answers_about_tasks(answer("The space that is used, by user", _EXAMPLE)),
)
async def usage(
    asking: User,
    is_admin: IsAdmin,
    parts: Parts,
    user: Annotated[
        str | None, Query(max_length=255, description="administrators: this user in place of yourself")
    ] = None,
    all_users: Annotated[
        bool, Query(alias="all", description="administrators: all users who have stems")
    ] = False,
) -> Usage:
    """Return how many bytes your stems and uploads take. Stems of forgotten tasks are not counted."""
    if (all_users or user not in (None, asking)) and not is_admin:
        raise ProblemError(403, "Only administrators see what others use", error_code="not_an_admin")
    wanted = None if all_users else user or asking
    found = await parts.view.results_space(wanted)
    if wanted is not None and not found:
        found = [(wanted, 0, 0)]
    return Usage(
        users=[
            UserUsage(
                user=name,
                results=Space(count=count, bytes=size_bytes),
                uploads=await _uploads(name, parts),
            )
            for name, count, size_bytes in found
        ]
    )


async def _uploads(user: str, parts: Parts) -> Space | None:
    if parts.settings.s3_bucket_name is None:
        return None
    try:
        held = await parts.archives.ask(lambda reader: reader.uploads(user))
    except BucketUnavailable:
        return None
    return Space(count=held.count, bytes=held.size_bytes)
