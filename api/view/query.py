"""Selects tasks for a list, and says so in SQL."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api.view.tables import folded
from common.tasks.messages import State


@dataclass(frozen=True)
class Position:
    """A task's place in a list that is sorted by time, the newest first."""

    submitted_at: float
    task_uuid: UUID


@dataclass(frozen=True)
class Query:
    """A selection of tasks, the newest first. Times are those of submission, in seconds since the epoch.

    `label` is the beginning of the tasks' labels. `search` is words that a task's label, file name or address
    has, separated by spaces.
    """

    user: str | None = None
    state: State | None = None
    idempotency_key: str | None = None
    label: str | None = None
    search: str = ""
    since: float | None = None
    until: float | None = None
    after: Position | None = None
    limit: int = 50

    @property
    def is_long(self) -> bool:
        """Whether no index leads to the page: every task of the user, or of the label, has to be read."""
        return self.label is not None or bool(self.search)


def _beyond(beginning: str) -> str | None:
    """Return the first text after all texts with this beginning, in the order of their UTF-8 bytes.

    None: there is none. A range needs no LIKE, with its wildcards, and is found in an index.
    """
    kept = beginning.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # between them are no characters


def terms_of(query: Query) -> tuple[list[str], list[Any]]:
    """Return the terms of SQL that select the tasks, and their values."""
    after = query.after
    # A key has few tasks: the plus keeps SQLite from an index that leads through all tasks of a user. No row
    # of another user's task with the same key is read, so that the time reveals nothing of it.
    plus = "" if query.idempotency_key is None else "+"
    beyond = None if query.label is None else _beyond(query.label)
    given: list[tuple[str, Any]] = [
        ("user = ?", query.user),
        (f"{plus}state = ?", query.state),
        ("idempotency_key = ?", query.idempotency_key),
        ("label >= ?", query.label),
        ("label < ?", beyond),
        ("submitted_at >= ?", query.since),
        ("submitted_at < ?", query.until),
    ]
    terms = [(term, value) for term, value in given if value is not None]
    sql, values = [term for term, _ in terms], [value for _, value in terms]
    for word in folded(query.search).split():
        sql.append("instr(words, ?)")
        values.append(word)
    if after is not None:
        sql.append("(submitted_at, task_uuid) < (?, ?)")
        values += [after.submitted_at, after.task_uuid.bytes]
    return sql, values
