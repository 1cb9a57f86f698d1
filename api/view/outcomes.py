"""Keeps how each run ended, and when: a run that was replayed stays a failure of its hour."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from common.tasks.messages import Status

SCHEMA = """
CREATE TABLE outcomes (
    task_uuid BLOB, run INTEGER, at REAL NOT NULL, user TEXT NOT NULL, state TEXT NOT NULL, error_code TEXT,
    PRIMARY KEY (task_uuid, run)
) WITHOUT ROWID;
CREATE INDEX outcomes_by_time ON outcomes (at, state, error_code, user);
"""
# A run stays in its first final state, whatever is read later. A deletion repeats it without a code.
INSERT = "INSERT OR IGNORE INTO outcomes VALUES (?,?,?,?,?,?)"
DELETE_BEFORE = "DELETE FROM outcomes WHERE at < ?"


def rows(statuses: Iterable[Status], tasks: Mapping[UUID, Status]) -> Iterator[tuple[Any, ...]]:
    """Yield the row of each status that ends a run. `tasks` are the tasks as the view knows them now."""
    for status in statuses:
        if status.state.is_final:
            user = status.user or tasks[status.task_uuid].user
            at = status.times.get(status.state, status.at)
            yield status.task_uuid.bytes, status.run, at, user, status.state, status.error_code
