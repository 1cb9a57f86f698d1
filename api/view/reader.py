"""Reads the file, to answer questions about tasks."""

import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter

from api.view.connections import Connections
from api.view.file_errors import AS_STORED, decoded
from api.view.query import Query, terms_of
from api.view.tables import Row, unpack
from api.view.usage import AUDIO_S_SINCE, DayUsage, UsageQuery, day_usages, usage_by_day
from common.kafka.lanes import DEFAULT_PRIORITY, PRIORITIES, WEIGHTS
from common.tasks.messages import DeliveryAttempt, State, Status, TaskBatch

T = TypeVar("T")

# Counting that many rows takes 2 ms.
_MAX_COUNT = 20_000
_RECENT = 20

_QUEUED = TypeAdapter(
    tuple[float, Annotated[int, Field(ge=min(PRIORITIES), le=max(PRIORITIES))]], config=AS_STORED
)
_SECONDS = TypeAdapter(float, config=AS_STORED)
_SPACE = TypeAdapter(list[tuple[str, int, int]], config=AS_STORED)


@dataclass(frozen=True)
class QueuePlace:
    """`place` 1 is the next task to be taken. `eta_s` estimates the seconds until then, if possible."""

    place: int
    eta_s: float | None


def _states(rows: list[Row]) -> dict[UUID, State]:
    return {UUID(bytes=found): State(state) for found, state in rows}


class Reader:
    """Reads the file, in several threads at once. Methods raise sqlite3.Error while there is no file.

    Of a row that cannot be decoded they raise DamagedRow.
    """

    def __init__(self, path: Path):
        self._connections = Connections(path)
        self._threads = threading.local()

    def reopen(self) -> None:
        """Let every thread open the file again, because it is a new one."""
        self._connections.reopen()

    def within(self, cpu_s: float, question: Callable[..., T], *arguments: Any) -> T:
        """Return the answer of `question`, which asks this reader. Raise TooMuchToRead and MachineBusy."""
        with self._connections.limited(cpu_s):
            return question(*arguments)

    def find(self, task_uuid: UUID, user: str | None = None) -> Status | None:
        """Return the task's status, or None. With a `user`, no row of another user's task is read."""
        whose, values = ("", ()) if user is None else (" AND user = ?", (user,))
        row = self._rows(f"SELECT status FROM tasks WHERE task_uuid = ?{whose}", (task_uuid.bytes, *values))
        return unpack(row[0][0]) if row else None

    def batch(self, batch_uuid: UUID, user: str | None = None) -> TaskBatch | None:
        """Return the batch, or None. With a `user`, no row of another user's batch is read."""
        whose, values = ("", ()) if user is None else (" AND user = ?", (user,))
        sql = f"SELECT batch FROM batches WHERE batch_uuid = ?{whose}"
        row = self._rows(sql, (batch_uuid.bytes, *values))
        return decoded(TaskBatch.model_validate_json, row[0][0]) if row else None

    def open_batches(self) -> list[TaskBatch]:
        """Return the batches whose `hook_url` is still to be called, the oldest first."""
        rows = self._rows("SELECT batch FROM batches WHERE is_open ORDER BY submitted_at", ())
        return [decoded(TaskBatch.model_validate_json, batch) for (batch,) in rows]

    def statuses(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, Status]:
        """Return the statuses of at most 1,000 tasks, without those that are not known."""
        marks = ",".join("?" * len(task_uuids))
        sql = f"SELECT status FROM tasks WHERE task_uuid IN ({marks})"
        found = [unpack(row[0]) for row in self._rows(sql, tuple(one.bytes for one in task_uuids))]
        return {status.task_uuid: status for status in found}

    def states(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, State]:
        """As `statuses`, the states alone: a tenth of the work."""
        marks = ",".join("?" * len(task_uuids))
        sql = f"SELECT task_uuid, state FROM tasks WHERE task_uuid IN ({marks})"
        rows = self._rows(sql, tuple(one.bytes for one in task_uuids))
        return decoded(_states, rows)

    def page(self, query: Query) -> list[Status]:
        terms, values = terms_of(query)
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        order = "ORDER BY submitted_at DESC, task_uuid DESC"
        if query.is_long:
            # Tasks of one label have to be sorted, and many are looked through for a word. So this reads only
            # numbers of rows, which an index holds with the times.
            where = f"WHERE rowid IN (SELECT rowid FROM tasks {where} {order} LIMIT {int(query.limit)})"
        rows = self._rows(f"SELECT status FROM tasks {where} {order} LIMIT ?", (*values, query.limit))
        return [unpack(status) for (status,) in rows]

    def deliveries(self, task_uuid: UUID) -> list[DeliveryAttempt]:
        """Return the tries to deliver the task's callbacks, the first one first."""
        rows = self._rows(
            "SELECT delivery FROM deliveries WHERE task_uuid = ? ORDER BY run, started_at, try_number",
            (task_uuid.bytes,),
        )
        return [decoded(DeliveryAttempt.model_validate_json, delivery) for (delivery,) in rows]

    def queue_place(self, queued_at: float, priority: int = DEFAULT_PRIORITY) -> QueuePlace:
        """Return the place of a task that was queued at `queued_at`. At most 20,000 tasks are counted.

        Tasks of its own lane that were queued earlier come before it. Of each other lane those come before
        it that the lanes' weights let begin meanwhile.
        """
        own = self._count_queued(priority, "queued_at < ?", (queued_at,), _MAX_COUNT)
        before = own
        for other in PRIORITIES:
            if other != priority:
                at_most = (own + 1) * WEIGHTS[other] // WEIGHTS[priority]
                before += self._count_queued(other, "queued_at IS NOT NULL", (), min(at_most, _MAX_COUNT))
        place = 1 + min(before, _MAX_COUNT)
        return QueuePlace(place, self._eta_s(place))

    def _count_queued(self, priority: int, term: str, values: Row, at_most: int) -> int:
        inner = f"SELECT 1 FROM tasks WHERE priority = ? AND {term} LIMIT ?"
        rows = self._rows(f"SELECT count(*) FROM ({inner})", (priority, *values, at_most))
        return int(rows[0][0])

    def room_s(self, user: str | None, count: int) -> float | None:
        """Estimate the seconds until `count` of the queued tasks, of `user` or of all, are taken."""
        if user is None:
            return self._eta_s(count)
        # Tasks that wait for a retry have no place in the queue.
        last = self._rows(
            "SELECT queued_at, priority FROM tasks "
            "WHERE user = ? AND state = 'queued' AND queued_at IS NOT NULL "
            "ORDER BY submitted_at, task_uuid LIMIT 1 OFFSET ?",
            (user, min(count, _MAX_COUNT) - 1),
        )
        return self.queue_place(*decoded(_QUEUED.validate_python, last[0])).eta_s if last else None

    def results_space(self, user: str | None) -> list[tuple[str, int, int]]:
        """Return each user, or one alone, with how many tasks have stems, and the stems' bytes."""
        whose, values = ("", ()) if user is None else (" AND user = ?", (user,))
        rows = self._rows(
            "SELECT user, count(*), sum(result_bytes) FROM tasks "
            f"WHERE result_bytes IS NOT NULL{whose} GROUP BY user",
            values,
        )
        return decoded(_SPACE.validate_python, rows)

    def usage(self, query: UsageQuery) -> list[DayUsage]:
        """Return what was separated, by user, day and model, in this order."""
        return decoded(day_usages, self._rows(*usage_by_day(query)))

    def audio_s_since(self, user: str, since: float) -> float:
        """Return the seconds of audio in the user's songs that were submitted since then and separated."""
        return decoded(_SECONDS.validate_python, self._rows(AUDIO_S_SINCE, (user, since))[0][0])

    def _eta_s(self, place: int) -> float | None:
        """Estimate by how long recent tasks took to the upload, and how many tasks are in progress now."""
        took_s, running = self._pace()
        return None if took_s is None or not running else place * took_s / running

    def _pace(self) -> tuple[float | None, int]:
        """Return the mean of the recent tasks, in seconds, and the number of tasks in progress.

        Each thread keeps them until the file changes: to read the recent tasks takes 0.5 ms, and whoever
        asks for a queued task needs them.
        """
        version = self._rows("PRAGMA data_version", ())[0][0]
        mine, key = self._threads, (self._connections.generation, version)
        if getattr(mine, "paced", None) != key:
            mine.pace, mine.paced = self._read_pace(), key
        pace: tuple[float | None, int] = mine.pace
        return pace

    def _read_pace(self) -> tuple[float | None, int]:
        states = [State.DOWNLOADING, State.PREPARING, State.SEPARATING]
        count = "SELECT count(*) FROM tasks WHERE state IN (?,?,?)"
        running = int(self._rows(count, (*states,))[0][0])
        took_s = [
            max(0.0, status.times[State.UPLOADING] - status.times[State.DOWNLOADING])
            for status in self.page(Query(state=State.SUCCEEDED, limit=_RECENT))
            if {State.UPLOADING, State.DOWNLOADING} <= status.times.keys()
        ]
        return statistics.mean(took_s) if took_s else None, running

    def select(self, sql: str, values: Row = ()) -> list[Row]:
        """Return all rows of a query that is no question about single tasks: see `statistics`."""
        return self._rows(sql, values)

    def _rows(self, sql: str, values: Row) -> list[Row]:
        return self._connections.rows(sql, values)
