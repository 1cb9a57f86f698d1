"""The file: tasks, deliveries, and how far each partition has been read, changed together or not at all."""

import fcntl
import logging
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from kafka import TopicPartition

from api.view.backlog import Backlog
from api.view.merge import merged
from common.tasks.messages import DeliveryAttempt, State, Status

log = logging.getLogger(__name__)

# To be raised with every change of the tables, and of what is read into them.
_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE tasks (
    task_uuid BLOB PRIMARY KEY, user TEXT NOT NULL, submitted_at REAL NOT NULL, state TEXT NOT NULL,
    at REAL NOT NULL, queued_at REAL, idempotency_key TEXT, awaits_callback INTEGER NOT NULL,
    status BLOB NOT NULL
);
CREATE INDEX tasks_by_time ON tasks (submitted_at, task_uuid);
CREATE INDEX tasks_by_user ON tasks (user, submitted_at, task_uuid);
CREATE INDEX tasks_by_state ON tasks (state, submitted_at, task_uuid);
CREATE INDEX tasks_by_user_and_state ON tasks (user, state, submitted_at, task_uuid);
CREATE INDEX tasks_by_key ON tasks (idempotency_key, submitted_at, task_uuid)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_that_await_callbacks ON tasks (user) WHERE awaits_callback;
CREATE INDEX tasks_by_key_and_user ON tasks (idempotency_key, user, submitted_at, task_uuid)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_in_queue ON tasks (queued_at) WHERE queued_at IS NOT NULL;
CREATE TABLE deliveries (
    task_uuid BLOB, run INTEGER, try_number INTEGER, started_at REAL, delivery TEXT NOT NULL,
    PRIMARY KEY (task_uuid, run, try_number, started_at)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (started_at);
CREATE TABLE offsets (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE origin (name TEXT NOT NULL);
"""
# What a task's own record says hardly ever changes, so that three of the indexes are left alone.
_UPSERT = """
INSERT INTO tasks VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET
    state = excluded.state, at = excluded.at, queued_at = excluded.queued_at,
    awaits_callback = excluded.awaits_callback, status = excluded.status
"""
# For a task whose own record comes after a status of it.
_LATE_ORIGIN = "UPDATE tasks SET user = ?, idempotency_key = ? WHERE task_uuid = ?"
_CACHE_KB = 32 * 1024
_CHECKPOINT_PAGES = 8192


@dataclass
class Batch:
    """What a poll has brought, and the offsets that come next."""

    statuses: list[Status] = field(default_factory=list)
    deliveries: list[DeliveryAttempt] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def singles(self) -> Iterator["Batch"]:
        """Its records, each by itself, without offsets."""
        yield from (Batch([status]) for status in self.statuses)
        yield from (Batch([], [delivery]) for delivery in self.deliveries)


class Store:
    """The one writer of a view's file. Used by one thread at a time."""

    def __init__(self, path: Path, backlog: Backlog | None = None):
        """Raises OSError, also when another process writes this file. `backlog` is kept up to date."""
        self.path, self._backlog = path, backlog or Backlog()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_name(path.name + ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise BlockingIOError(0, "another api uses it") from None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def open(self, origin: str) -> None:
        """Makes the file anew unless it is of this schema and `origin`. Raises sqlite3.Error, OSError."""
        self.close_file()
        try:
            self._connection = self._opened(origin)
        except sqlite3.DatabaseError as error:
            log.warning("%s cannot be read and is made anew: %s", self.path, error)
        if self._connection is None:
            self.remove()
            # The links in it are good for whoever reads them.
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._connection = _connect(self.path)
            self._connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};COMMIT")
            with self._connection:
                self._connection.execute("INSERT INTO origin VALUES (?)", (origin,))
        self._inode = os.stat(self.path).st_ino
        self._count_backlog()

    def remove(self) -> None:
        self.close_file()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}{suffix}")

    @property
    def is_there(self) -> bool:
        """False once somebody has removed the file."""
        try:
            return self._connection is not None and os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def offsets(self) -> dict[TopicPartition, int]:
        rows = self._connection.execute("SELECT topic, partition, next FROM offsets")
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    def apply(self, batch: Batch) -> list[Status]:
        """Those of the tasks that have changed. Raises sqlite3.Error, and then nothing has."""
        with self._connection as connection:
            before = self._known({status.task_uuid for status in batch.statuses})
            after = dict(before)
            for status in batch.statuses:
                after[status.task_uuid] = merged(after.get(status.task_uuid), status)
            changed = {key for key, status in after.items() if status is not before.get(key)}
            connection.executemany(_UPSERT, [_row(after[key]) for key in changed])
            known = changed & before.keys()
            late = [key for key in known if _origin(after[key]) != _origin(before[key])]
            connection.executemany(_LATE_ORIGIN, [(*_origin(after[key]), key.bytes) for key in late])
            connection.executemany(
                "INSERT OR REPLACE INTO deliveries VALUES (?,?,?,?,?)", map(_delivery_row, batch.deliveries)
            )
            connection.executemany(
                "INSERT OR REPLACE INTO offsets VALUES (?,?,?)",
                [(topic, number, offset) for (topic, number), offset in batch.offsets.items()],
            )
        now, earlier = [after[key] for key in changed], [before[key] for key in known]
        moved, callbacks = _queued_by_user(now), _callbacks_by_user(now)
        moved.subtract(_queued_by_user(earlier))
        callbacks.subtract(_callbacks_by_user(earlier))
        self._backlog.change(moved, after, callbacks)
        return [after[key] for key in changed]

    def prune(self, before_s: float) -> None:
        """Removes what nothing has been told of since `before_s` (since the epoch)."""
        with self._connection as connection:
            gone = connection.execute(
                "DELETE FROM tasks WHERE submitted_at < ? AND at < ?", (before_s, before_s)
            )
            connection.execute("DELETE FROM deliveries WHERE started_at < ?", (before_s,))
        if gone.rowcount:
            self._count_backlog()

    def close_file(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self.close_file()
        self._lock.close()

    def _opened(self, origin: str) -> sqlite3.Connection | None:
        connection = _connect(self.path)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()
            if version == (_SCHEMA_VERSION,) and _made_for(connection) == origin:
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _count_backlog(self) -> None:
        # The other index by state, which SQLite would take, leads to every row for its user.
        by = "INDEXED BY tasks_by_user_and_state"
        count = f"SELECT user, count(*) FROM tasks {by} WHERE state = ? GROUP BY user"
        queued = dict(self._connection.execute(count, (State.QUEUED,)).fetchall())
        callbacks = "SELECT user, count(*) FROM tasks WHERE awaits_callback GROUP BY user"
        self._backlog.reset(queued, dict(self._connection.execute(callbacks).fetchall()))

    def _known(self, wanted: Iterable[UUID]) -> dict[UUID, Status]:
        found = {}
        for task_uuid in wanted:
            row = self._connection.execute(
                "SELECT status FROM tasks WHERE task_uuid = ?", (task_uuid.bytes,)
            ).fetchone()
            if row:
                found[task_uuid] = unpack(row[0])
        return found


def pack(status: Status) -> bytes:
    """A result names each link twice, and the links are much alike: a quarter of the text is left."""
    return zlib.compress(status.to_bytes(), 1)


def unpack(packed: bytes) -> Status:
    return Status.model_validate_json(zlib.decompress(packed))


def _made_for(connection: sqlite3.Connection) -> str:
    return connection.execute("SELECT name FROM origin").fetchone()[0]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    # A crash of the machine may cost the last transactions, which Kafka still has, never the file's order.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    return connection


def _row(status: Status) -> tuple:
    is_in_queue = status.state == "queued" and status.next_try_at is None
    return (
        status.task_uuid.bytes,
        status.user,
        status.submitted_at,
        status.state,
        status.at,
        status.at if is_in_queue else None,
        status.idempotency_key,
        _awaits_callback(status),
        pack(status),
    )


def _queued_by_user(statuses: Iterable[Status]) -> Counter[str]:
    return Counter(status.user for status in statuses if status.state is State.QUEUED)


def _callbacks_by_user(statuses: Iterable[Status]) -> Counter[str]:
    return Counter(status.user for status in statuses if _awaits_callback(status))


def _awaits_callback(status: Status) -> bool:
    """A failed run is over before its callback is out: then the status says when that is tried again."""
    return status.state is State.DELIVERING or status.callback_next_try_at is not None


def _origin(status: Status) -> tuple[str, str | None]:
    return status.user, status.idempotency_key


def _delivery_row(delivery: DeliveryAttempt) -> tuple:
    value = delivery.to_bytes().decode()
    return delivery.task_uuid.bytes, delivery.run, delivery.try_number, delivery.started_at, value
