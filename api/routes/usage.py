"""`GET /usage`: what a user has had separated by day and model, and the space that the user's files take."""

import re
import time
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field

from api.archive.errors import BucketUnavailable
from api.problems import ProblemError
from api.routes.access import IsAdmin, User
from api.routes.parts import Parts
from api.routes.responses import answer, answers_about_tasks
from api.view.usage import DayUsage, UsageQuery, day_of

router = APIRouter(tags=["usage"])


class Space(BaseModel):
    """Something that takes space in the bucket."""

    count: int
    bytes: int


class DayOfModel(BaseModel):
    """The songs that one user submitted on one day and that one model has separated."""

    day: date = Field(description="the day in UTC on which the tasks were submitted")
    model: str = Field(description="the models' names, with commas between them")
    tasks: int = Field(description="tasks that have got stems; failed ones do not count")
    audio_s: float = Field(description="the length of what was separated, in seconds")
    engine_s: float = Field(
        description="how long engines worked on it, in seconds; 0 for stems of an earlier task"
    )
    bytes: int = Field(description="the bytes of those stems that are still kept")


class UserUsage(BaseModel):
    """The accounts of one user: what was separated, and the space that the user's files take."""

    user: str
    results: Space = Field(description="tasks whose stems are kept, and the bytes of the stems")
    uploads: Space | None = Field(
        default=None, description="uploaded songs; absent where the api cannot read the bucket"
    )
    days: list[DayOfModel] = Field(
        default_factory=list, description="what was separated, by day and model, the first day first"
    )


class Usage(BaseModel):
    """The accounts of users for the days from one to another, both included."""

    first_day: date
    last_day: date
    users: list[UserUsage]


_MAX_DAYS = 366
_DEFAULT_DAYS = 30
_DAY = date(2026, 11, 28)
_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXAMPLE = Usage(
    first_day=_DAY,
    last_day=_DAY,
    users=[
        UserUsage(
            user="alice",
            results=Space(count=12, bytes=1_016_064_528),
            uploads=Space(count=1, bytes=48_318_382),
            days=[
                DayOfModel(
                    day=_DAY,
                    model="UVR-MDX-NET-Inst_HQ_4.onnx",
                    tasks=12,
                    audio_s=2880.0,
                    engine_s=312.5,
                    bytes=1_016_064_528,
                )
            ],
        )
    ],
)


def _written_as_day(text: str | None) -> str | None:
    """Return the text. Raise ValueError for a number, in which pydantic would see seconds since the epoch."""
    if text is not None and not _WRITTEN.fullmatch(text):
        raise ValueError("expected a day, such as 2026-11-28")
    return text


Day = Annotated[
    date | None, BeforeValidator(_written_as_day), Query(description="a day in UTC, such as 2026-11-28")
]


@router.get(
    "/usage",
    summary="What was separated, and how much space it takes",
    response_model_exclude_none=True,
    responses=answers_about_tasks(
        answer("What was separated, and the space that is used, by user", _EXAMPLE)
    ),
)
async def usage(
    asking: User,
    is_admin: IsAdmin,
    parts: Parts,
    user: Annotated[
        str | None, Query(max_length=255, description="administrators: this user in place of yourself")
    ] = None,
    all_users: Annotated[
        bool, Query(alias="all", description="administrators: all users who have had songs separated")
    ] = False,
    first: Annotated[Day, Query(alias="from")] = None,
    last: Annotated[Day, Query(alias="to")] = None,
) -> Usage:
    """Return what was separated for you by day and model, and how many bytes your files take.

    Without `from` and `to` these are the last 30 days. The api knows tasks for 30 days after their last
    change.
    """
    if (all_users or user not in (None, asking)) and not is_admin:
        raise ProblemError(403, "Only administrators see what others use", error_code="not_an_admin")
    wanted = None if all_users else user or asking
    query = _query(wanted, first, last, day_of(time.time()))
    days = {name: [*found] for name, found in groupby(await parts.view.usage(query), key=attrgetter("user"))}
    kept = {
        name: Space(count=count, bytes=size) for name, count, size in await parts.view.results_space(wanted)
    }
    names = sorted(kept.keys() | days.keys()) if wanted is None else [wanted]
    return Usage(
        first_day=query.first,
        last_day=query.last,
        users=[
            UserUsage(
                user=name,
                results=kept.get(name, Space(count=0, bytes=0)),
                uploads=await _uploads(name, parts),
                days=_days(days.get(name, ())),
            )
            for name in names
        ],
    )


def _query(user: str | None, first: date | None, last: date | None, today: date) -> UsageQuery:
    """Return the query, for the last 30 days where nothing is said. Raise ProblemError 400."""
    last = last or max(today, first or today)
    try:
        first = first or last - timedelta(days=_DEFAULT_DAYS - 1)
    except OverflowError:
        first = date.min
    if not timedelta(0) <= last - first < timedelta(days=_MAX_DAYS):
        raise ProblemError(
            400,
            f"from, to: expected at most {_MAX_DAYS} days, the first one first, got {first} to {last}",
            error_code="days_invalid",
        )
    return UsageQuery(user, first, last)


def _days(found: Sequence[DayUsage]) -> list[DayOfModel]:
    return [
        DayOfModel(
            day=one.day,
            model=one.model,
            tasks=one.tasks,
            audio_s=round(one.audio_s, 3),
            engine_s=round(one.engine_s, 3),
            bytes=one.size_bytes,
        )
        for one in found
    ]


async def _uploads(user: str, parts: Parts) -> Space | None:
    if parts.settings.s3_bucket_name is None:
        return None
    try:
        held = await parts.archives.ask(lambda reader: reader.uploads(user))
    except BucketUnavailable:
        return None
    return Space(count=held.count, bytes=held.size_bytes)
