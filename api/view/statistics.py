"""Counts tasks for administrators: what waits and runs, how runs ended hour by hour, and for whom.

Each function is a question for `TaskView.ask`, and raises as `Reader` does. Times are in seconds since the
epoch.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import TypeAdapter

from api.view.file_errors import AS_STORED, decoded
from api.view.reader import Reader
from api.view.tables import Row, unpack
from common.tasks.messages import State, Status

HOUR_S = 3600.0
DEFAULT_PRIORITY = 3
# The processors' own part of a task.
SEPARATING = (State.DOWNLOADING, State.PREPARING, State.SEPARATING)
RUNNING = (*SEPARATING, State.UPLOADING, State.DELIVERING)
# More tasks than any set of processors works on at once.
_MAX_RUNNING = 500

_WAITING = TypeAdapter(list[tuple[int, int, float | None]], config=AS_STORED)
_RUNNING = TypeAdapter(list[tuple[int, int]], config=AS_STORED)
_ENDED = TypeAdapter(list[tuple[int, str, str | None, int]], config=AS_STORED)
_FAILURES = TypeAdapter(list[tuple[str, float, bytes]], config=AS_STORED)
_RUNNING_OF = TypeAdapter(list[tuple[str, int]], config=AS_STORED)
_ENDED_OF = TypeAdapter(list[tuple[str, str, int]], config=AS_STORED)


@dataclass(frozen=True)
class Waiting:
    """The tasks of one priority that wait for their first try. `oldest_at` is when the first was queued."""

    count: int
    oldest_at: float | None


@dataclass(frozen=True)
class Lane:
    """The tasks of one priority."""

    waiting: Waiting
    running: int


@dataclass(frozen=True)
class Ended:
    """The number of runs that ended so in the hour that began at `hour_at`."""

    hour_at: float
    state: str
    error_code: str | None
    count: int


def lanes(reader: Reader) -> dict[int, Lane]:
    """Return what waits and runs by priority, the most urgent first. The default one is always there."""
    by = _priority_column(reader)
    rows = reader.select(
        f"SELECT {by}, count(*), min(queued_at) FROM tasks WHERE queued_at IS NOT NULL GROUP BY 1"
    )
    found = decoded(_WAITING.validate_python, rows)
    waiting = {priority: Waiting(count, oldest_at) for priority, count, oldest_at in found}
    marks = ",".join("?" * len(RUNNING))
    rows = reader.select(f"SELECT {by}, count(*) FROM tasks WHERE state IN ({marks}) GROUP BY 1", RUNNING)
    running = dict(decoded(_RUNNING.validate_python, rows))
    priorities = sorted({DEFAULT_PRIORITY, *waiting, *running}, reverse=True)
    return {one: Lane(waiting.get(one, Waiting(0, None)), running.get(one, 0)) for one in priorities}


def unfinished(reader: Reader) -> dict[State, int]:
    """Return how many tasks are in each state that is not final."""
    counts = "SELECT count(*) FROM tasks WHERE state = ?"
    return {state: reader.select(counts, (state,))[0][0] for state in State if not state.is_final}


def retrying(reader: Reader) -> int:
    """Return how many of the queued tasks wait for a retry."""
    queued = "SELECT count(*) FROM tasks WHERE state = ?"
    in_queue = "SELECT count(*) FROM tasks WHERE queued_at IS NOT NULL"
    return int(reader.select(queued, (State.QUEUED,))[0][0] - reader.select(in_queue)[0][0])


def outcomes(reader: Reader, since: float) -> list[Ended]:
    """Return how runs have ended since then, by hour from `since` on, state and error code."""
    rows = reader.select(
        "SELECT cast((at - ?) / ? AS INTEGER), state, error_code, count(*) FROM outcomes WHERE at >= ? "
        "GROUP BY 1, 2, 3",
        (since, HOUR_S, since),
    )
    found = decoded(_ENDED.validate_python, rows)
    return [Ended(since + hour * HOUR_S, state, code, count) for hour, state, code, count in found]


def last_failures(reader: Reader, since: float) -> list[tuple[str, float, UUID]]:
    """Return each error code since then, with when it came last, and that task's id."""
    # SQLite takes a bare column from the row that has the maximum.
    rows = reader.select(
        "SELECT error_code, max(at), task_uuid FROM outcomes "
        "WHERE at >= ? AND error_code IS NOT NULL AND state <> ? GROUP BY error_code",
        (since, State.CANCELLED),
    )
    return decoded(_failures, rows)


def _failures(rows: list[Row]) -> list[tuple[str, float, UUID]]:
    return [(code, at, UUID(bytes=task)) for code, at, task in _FAILURES.validate_python(rows)]


def users(reader: Reader, since: float) -> Mapping[str, Counter[str]]:
    """Return by user how many tasks run now (`running`), and how runs have ended since then (by state)."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    marks = ",".join("?" * len(RUNNING))
    running = f"SELECT user, count(*) FROM tasks WHERE state IN ({marks}) GROUP BY user"
    for user, count in decoded(_RUNNING_OF.validate_python, reader.select(running, RUNNING)):
        found[user]["running"] = count
    ended = "SELECT user, state, count(*) FROM outcomes WHERE at >= ? GROUP BY user, state"
    for user, state, count in decoded(_ENDED_OF.validate_python, reader.select(ended, (since,))):
        found[user][state] = count
    return found


def at_work(reader: Reader) -> list[Status]:
    """Return the tasks that processors work on now, those that were submitted first first."""
    marks = ",".join("?" * len(SEPARATING))
    sql = f"SELECT status FROM tasks WHERE state IN ({marks}) ORDER BY submitted_at LIMIT ?"
    return [unpack(status) for (status,) in reader.select(sql, (*SEPARATING, _MAX_RUNNING))]


def _priority_column(reader: Reader) -> str:
    columns = reader.select("SELECT name FROM pragma_table_info('tasks')")
    return "priority" if ("priority",) in columns else str(DEFAULT_PRIORITY)
