"""`GET /queue`, `/failures` and `/users`: what administrators see of all tasks together."""

import time
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query

from api.routes.access import Admin
from api.routes.parts import Parts
from api.routes.responses import answer, answers_about_tasks
from api.routes.statistics_models import (
    EXAMPLE_FAILURES,
    EXAMPLE_QUEUE,
    EXAMPLE_USERS,
    FailureHour,
    FailureKind,
    Failures,
    Finished,
    QueueHour,
    QueueLane,
    QueueNow,
    UserCounts,
    Users,
)
from api.view import statistics
from api.view.statistics import HOUR_S
from common.tasks.messages import State

router = APIRouter(tags=["administration"])

_MAX_HOURS = 168
# Codes are a short list, but a later version may have others.
_MAX_CODES = 50
_DAY_S = 24 * HOUR_S

Hours = Annotated[
    int, Query(ge=1, le=_MAX_HOURS, description="how many hours back, the present one among them")
]


def _since(hours: int) -> float:
    """Return when the first of `hours` whole hours of the clock began. The last one is the present hour."""
    return (time.time() // HOUR_S - hours + 1) * HOUR_S


@router.get(
    "/queue",
    summary="What waits and runs",
    response_model_exclude_none=True,
    responses=answers_about_tasks(
        answer("The numbers of all users' tasks, and how runs ended by hour", EXAMPLE_QUEUE)
    ),
)
async def queue(_: Admin, parts: Parts, hours: Hours = 24) -> QueueNow:
    """Return what waits and runs now, and how many runs have ended in each hour. For administrators."""
    now_s, since = time.time(), _since(hours)
    view = parts.view
    lanes = await view.ask(statistics.lanes)
    ended = await view.ask(lambda reader: statistics.outcomes(reader, since))
    last_hour = await view.ask(lambda reader: statistics.outcomes(reader, now_s - HOUR_S))
    oldest = [lane.waiting.oldest_at for lane in lanes.values() if lane.waiting.oldest_at is not None]
    return QueueNow(
        at=now_s,
        waiting=sum(lane.waiting.count for lane in lanes.values()),
        oldest_waiting_at=min(oldest, default=None),
        retrying=await view.ask(statistics.retrying),
        states=await view.ask(statistics.unfinished),
        lanes=[
            QueueLane(
                priority=priority,
                waiting=lane.waiting.count,
                oldest_waiting_at=lane.waiting.oldest_at,
                running=lane.running,
            )
            for priority, lane in lanes.items()
        ],
        last_hour=_finished(last_hour),
        hours=[
            QueueHour(since=begin, finished=_finished([one for one in ended if one.hour_at == begin]))
            for begin in _begins(since, hours)
        ],
    )


@router.get(
    "/failures",
    summary="Failures by error code over time",
    response_model_exclude_none=True,
    responses=answers_about_tasks(answer("How often each error has ended a run, by hour", EXAMPLE_FAILURES)),
)
async def failures(_: Admin, parts: Parts, hours: Hours = 24) -> Failures:
    """Return how often each error code has ended a run in each hour, and its last task. For administrators.

    A callback that nobody has accepted counts too. What was cancelled does not.
    """
    since = _since(hours)
    ended = await parts.view.ask(lambda reader: statistics.outcomes(reader, since))
    failed = [one for one in ended if one.error_code is not None and one.state != State.CANCELLED]
    totals: Counter[str] = Counter()
    for one in failed:
        totals[one.error_code or ""] += one.count
    last = await parts.view.ask(lambda reader: statistics.last_failures(reader, since))
    latest = {code: (at, task) for code, at, task in last}
    kinds = [
        FailureKind(error_code=code, count=count, last_at=latest[code][0], last_task_uuid=latest[code][1])
        for code, count in totals.most_common(_MAX_CODES)
        if code in latest
    ]
    shown = {kind.error_code for kind in kinds}
    by_hour: dict[float, dict[str, int]] = {begin: {} for begin in _begins(since, hours)}
    for one in failed:
        if one.error_code in shown and (codes := by_hour.get(one.hour_at)) is not None:
            codes[one.error_code] = codes.get(one.error_code, 0) + one.count
    return Failures(
        codes=kinds, hours=[FailureHour(since=begin, codes=codes) for begin, codes in by_hour.items()]
    )


@router.get(
    "/users",
    summary="Who has how many tasks",
    responses=answers_about_tasks(answer("The users with tasks of the last 24 hours", EXAMPLE_USERS)),
)
async def users(
    _: Admin,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1000, description="at most so many users")] = 200,
) -> Users:
    """Return how many tasks each user has queued and running, and how runs of 24 h ended.

    Users with more unfinished tasks come first. For administrators.
    """
    found = await parts.view.ask(lambda reader: statistics.users(reader, time.time() - _DAY_S))
    queued = parts.view.backlog.by_user()
    counts = [
        UserCounts(
            user=name,
            queued=queued[name],
            running=found[name]["running"] if name in found else 0,
            finished=_finished_of(found.get(name, Counter())),
        )
        for name in {*found, *queued}
    ]
    counts.sort(key=lambda one: (-one.queued - one.running, -one.finished.total, one.user))
    return Users(users=counts[:limit], left_out=max(0, len(counts) - limit))


def _begins(since: float, hours: int) -> list[float]:
    return [since + number * HOUR_S for number in range(hours)]


def _finished(ended: list[statistics.Ended]) -> Finished:
    counts: Counter[str] = Counter()
    for one in ended:
        counts[one.state] += one.count
    return _finished_of(counts)


def _finished_of(counts: Counter[str]) -> Finished:
    return Finished(
        succeeded=counts[State.SUCCEEDED], failed=counts[State.FAILED], cancelled=counts[State.CANCELLED]
    )
