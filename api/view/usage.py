"""Accounts for what was separated, and for whom: a row for each task that has got stems.

A row stays when the stems are deleted. A task that fails costs its user nothing. A task counts for the day
(in UTC) on which it was submitted, whenever it is done: a day's numbers then never depend on the queue.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from api.view.file_errors import AS_STORED
from common.tasks.messages import State, Status

DAY_S = 86_400
_EPOCH = date(1970, 1, 1)
_ROWS = TypeAdapter(list[tuple[str, int, str, int, float, float, int]], config=AS_STORED)

UPSERT_USAGE = "INSERT OR REPLACE INTO usage VALUES (?,?,?,?,?,?,?)"
REMOVE_USAGE = "DELETE FROM usage WHERE task_uuid = ?"
PRUNE_USAGE = "DELETE FROM usage WHERE submitted_at < ?"
AUDIO_S_SINCE = "SELECT coalesce(sum(audio_s), 0) FROM usage WHERE user = ? AND submitted_at >= ?"


@dataclass(frozen=True)
class UsageQuery:
    """The days from `first` to `last`, both included, in UTC. `user` None stands for all users."""

    user: str | None
    first: date
    last: date


@dataclass(frozen=True)
class DayUsage:
    """The songs that one model, or list of models, has separated for one user on one day.

    `size_bytes` are the stems' bytes, as far as the stems are still kept.
    """

    user: str
    day: date
    model: str
    tasks: int
    audio_s: float
    engine_s: float
    size_bytes: int


def day_begins(moment_s: float) -> float:
    """Return when the day of `moment_s` began in UTC; both in seconds since the epoch."""
    return moment_s - moment_s % DAY_S


def day_of(moment_s: float) -> date:
    """Return the day in UTC of a moment in seconds since the epoch."""
    return datetime.fromtimestamp(moment_s, UTC).date()


def usage_by_day(query: UsageQuery) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL that answers `query`, and its values."""
    since, last = ((day - _EPOCH).days * DAY_S for day in (query.first, query.last))
    whose, values = ("", ()) if query.user is None else (" AND user = ?", (query.user,))
    return (
        f"SELECT user, CAST(submitted_at / {DAY_S} AS INTEGER) AS day, model, count(*), sum(audio_s), "
        f"sum(engine_s), sum(bytes) FROM usage WHERE submitted_at >= ? AND submitted_at < ?{whose} "
        "GROUP BY user, day, model ORDER BY user, day, model",
        (since, last + DAY_S, *values),
    )


def day_usages(rows: list[tuple[Any, ...]]) -> list[DayUsage]:
    """Return what the rows of `usage_by_day` say. Raise ValueError for values of other types."""
    return [
        DayUsage(user, _EPOCH + timedelta(days=day), model, tasks, audio_s, engine_s, size_bytes)
        for user, day, model, tasks, audio_s, engine_s, size_bytes in _ROWS.validate_python(rows)
    ]


def usage_row(status: Status) -> tuple[Any, ...] | None:
    """Return the task's row; None for a task that counts nothing, or nothing yet."""
    audio_s = audio_s_of(status)
    if audio_s is None or ended_without_stems(status):
        return None
    size_bytes = sum(stem.bytes for stem in status.result.stems.values()) if status.result else 0
    model = model_of(status) or ""
    engine_s = status.engine_s or 0.0
    return status.task_uuid.bytes, status.user, status.submitted_at, model, audio_s, engine_s, size_bytes


def ended_without_stems(status: Status) -> bool:
    """Return whether the task has failed or was cancelled: what was counted for it counts no more."""
    return status.state in (State.FAILED, State.CANCELLED) and status.result is None


def audio_s_of(status: Status) -> float | None:
    """Return the length of what was separated, in seconds. Earlier workers tell the stems' lengths only."""
    if status.audio_s is None and status.result is not None:
        return max((stem.duration_s for stem in status.result.stems.values()), default=None)
    return status.audio_s


def model_of(status: Status) -> str | None:
    """Return the names of the models that were used."""
    return status.result.model if status.result else status.model
