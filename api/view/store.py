"""Writes the view's file: tasks, deliveries and the offset of each partition change in one transaction."""

import fcntl
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from kafka import TopicPartition

from api.view import outcomes
from api.view.backlog import Backlog
from api.view.file_errors import decoded, is_damage, is_of_other_tables
from api.view.merge import merged
from api.view.records import Batch
from api.view.tables import (
    SET_FIXED,
    UPSERT_BATCH,
    UPSERT_TASK,
    WORKED_ON,
    Row,
    awaits_callback,
    batch_row,
    connect,
    create,
    delivery_row,
    fixed_columns,
    is_made_for,
    task_row,
    unpack,
    worker_row,
)
from api.view.usage import (
    PRUNE_USAGE,
    REMOVE_USAGE,
    UPSERT_USAGE,
    ended_without_stems,
    usage_row,
)
from api.view.workers import AnnouncedWorkers
from common.tasks.messages import State, Status, decode_worker_seen

log = logging.getLogger(__name__)

_ASKED_AT_ONCE = 500


class Store:
    """The only writer of a view's file. Used by one thread at a time."""

    def __init__(self, path: Path, backlog: Backlog | None = None, workers: AnnouncedWorkers | None = None):
        """Raise OSError, even if another process writes this file.

        The store keeps `backlog` and `workers` up to date.
        """
        self.path, self._backlog, self._workers = path, backlog or Backlog(), workers or AnnouncedWorkers()
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
        """Open the file; make it anew if it is damaged or not of `origin`. Raise sqlite3.Error, OSError.

        A new file has no rows. So a row that this version writes and cannot read back costs one new file for
        each opening, and the feed's pauses bound how often it opens the file.
        """
        self.close_file()
        try:
            is_open = self._open_sound(origin)
        except sqlite3.DatabaseError as error:
            self.close_file()
            if not (is_damage(error) or is_of_other_tables(error)):
                raise  # such as a full disk: the file is sound
            log.warning("%s cannot be read and is made anew: %s", self.path, error)
            is_open = False
        if not is_open:
            self.remove()
            # For this user alone: anybody who reads the file can use the links in it.
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._connection = connect(self.path)
            create(self._connection, origin)
            self._count()
        self._inode = os.stat(self.path).st_ino

    def remove(self) -> None:
        self.close_file()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}{suffix}")

    @property
    def is_there(self) -> bool:
        """True until somebody removes the open file."""
        try:
            return self._connection is not None and os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def offsets(self) -> dict[TopicPartition, int]:
        rows = self._open_file.execute("SELECT topic, partition, next FROM offsets").fetchall()
        return decoded(_offsets, rows)

    def apply(self, batch: Batch) -> list[Status]:
        """Store the batch, and return the statuses that have changed. If it raises, nothing is stored."""
        with self._open_file as connection:
            before = self._known(status.task_uuid for status in batch.statuses)
            after = dict(before)
            for status in batch.statuses:
                key = status.task_uuid
                after[key] = merged(after.get(key), status)
            # Most tasks are new. A UUID computes its hash anew each time that a dictionary is asked for it.
            changed = list(after.values())
            if before:
                changed = [s for s in changed if s is not before.get(s.task_uuid)]
            known = [(before[s.task_uuid], s) for s in changed if s.task_uuid in before] if before else []
            connection.executemany(UPSERT_TASK, map(task_row, changed))
            late = [s for earlier, s in known if fixed_columns(s) != fixed_columns(earlier)]
            connection.executemany(SET_FIXED, [(*fixed_columns(s), s.task_uuid.bytes) for s in late])
            connection.executemany(outcomes.INSERT, outcomes.rows(batch.statuses, after))
            connection.executemany(UPSERT_USAGE, filter(None, map(usage_row, changed)))
            useless = [(s.task_uuid.bytes,) for s in changed if ended_without_stems(s)]
            connection.executemany(REMOVE_USAGE, useless)
            connection.executemany(
                "INSERT OR REPLACE INTO deliveries VALUES (?,?,?,?,?)", map(delivery_row, batch.deliveries)
            )
            connection.executemany(
                "INSERT OR REPLACE INTO workers VALUES (?,?,?)", map(worker_row, batch.workers)
            )
            connection.executemany(UPSERT_BATCH, map(batch_row, batch.batches))
            connection.executemany(
                "INSERT OR REPLACE INTO offsets VALUES (?,?,?)",
                [(topic, number, offset) for (topic, number), offset in batch.offsets.items()],
            )
        earlier = [status for status, _ in known]
        moved, callbacks = _queued_by_user(changed), _callbacks_by_user(changed)
        working = _worked_on_by_user(changed)
        moved.subtract(_queued_by_user(earlier))
        callbacks.subtract(_callbacks_by_user(earlier))
        working.subtract(_worked_on_by_user(earlier))
        self._backlog.change(moved, after, callbacks, working)
        self._workers.add(batch.workers)
        return changed

    def prune(self, before_s: float) -> None:
        """Remove what has not changed since `before_s` (seconds since the epoch)."""
        with self._open_file as connection:
            gone = connection.execute(
                "DELETE FROM tasks WHERE submitted_at < ? AND at < ?", (before_s, before_s)
            )
            connection.execute("DELETE FROM deliveries WHERE started_at < ?", (before_s,))
            connection.execute(outcomes.DELETE_BEFORE, (before_s,))
            connection.execute(PRUNE_USAGE, (before_s,))
            connection.execute("DELETE FROM workers WHERE at < ?", (before_s,))
            connection.execute("DELETE FROM batches WHERE submitted_at < ?", (before_s,))
        if gone.rowcount:
            self._count_backlog()

    def close_file(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self.close_file()
        self._lock.close()

    @property
    def _open_file(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the view's file is not open")
        return self._connection

    def _open_sound(self, origin: str) -> bool:
        """Open the file, and read what is kept in memory. Return False if it is not made for `origin`."""
        self._connection = connect(self.path)
        if not is_made_for(self._connection, origin):
            return False
        self._count()
        return True

    def _count(self) -> None:
        self._count_backlog()
        announced = self._open_file.execute("SELECT announcement FROM workers")
        self._workers.reset(decoded(decode_worker_seen, value) for (value,) in announced)

    def _count_backlog(self) -> None:
        # The other index by state, which SQLite would choose, does not hold the user: each row would be read.
        by = "INDEXED BY tasks_by_user_and_state"
        count = f"SELECT user, count(*) FROM tasks {by} WHERE state = ? GROUP BY user"
        queued = dict(self._open_file.execute(count, (State.QUEUED,)).fetchall())
        callbacks = "SELECT user, count(*) FROM tasks WHERE awaits_callback GROUP BY user"
        count = f"SELECT user, count(*) FROM tasks {by} WHERE state IN (?,?,?,?) GROUP BY user"
        working = dict(self._open_file.execute(count, WORKED_ON).fetchall())
        self._backlog.reset(queued, dict(self._open_file.execute(callbacks).fetchall()), working)

    def _known(self, wanted: Iterable[UUID]) -> dict[UUID, Status]:
        by_bytes = {task_uuid.bytes: task_uuid for task_uuid in wanted}
        found = {}
        keys = [*by_bytes]
        for at in range(0, len(keys), _ASKED_AT_ONCE):
            some = keys[at : at + _ASKED_AT_ONCE]
            sql = f"SELECT task_uuid, status FROM tasks WHERE task_uuid IN ({','.join('?' * len(some))})"
            for key, status in self._open_file.execute(sql, some):
                found[by_bytes[key]] = unpack(status)
        return found


def _offsets(rows: list[Row]) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, int(partition)): int(offset) for topic, partition, offset in rows}


def _queued_by_user(statuses: Iterable[Status]) -> Counter[str]:
    return Counter(status.user for status in statuses if status.state is State.QUEUED)


def _worked_on_by_user(statuses: Iterable[Status]) -> Counter[str]:
    return Counter(status.user for status in statuses if status.state in WORKED_ON)


def _callbacks_by_user(statuses: Iterable[Status]) -> Counter[str]:
    return Counter(status.user for status in statuses if awaits_callback(status))
