"""The tables of the view's file, and the rows in them."""

import sqlite3
import unicodedata
import zlib
from pathlib import Path
from typing import Any

from api.view import outcomes
from api.view.file_errors import decoded
from common.tasks.messages import DeliveryAttempt, State, Status, TaskBatch, WorkerSeen

Row = tuple[Any, ...]

# Raise this with every change of the tables, and of what the view stores in them.
SCHEMA_VERSION = 11
_SCHEMA = """
CREATE TABLE tasks (
    task_uuid BLOB PRIMARY KEY, user TEXT NOT NULL, submitted_at REAL NOT NULL, state TEXT NOT NULL,
    at REAL NOT NULL, queued_at REAL, idempotency_key TEXT, awaits_callback INTEGER NOT NULL,
    label TEXT, result_bytes INTEGER, priority INTEGER NOT NULL, words TEXT NOT NULL, status BLOB NOT NULL
);
CREATE INDEX tasks_by_time ON tasks (submitted_at, task_uuid, words);
CREATE INDEX tasks_by_user ON tasks (user, submitted_at, task_uuid, words);
CREATE INDEX tasks_by_state ON tasks (state, submitted_at, task_uuid);
CREATE INDEX tasks_by_user_and_state ON tasks (user, state, submitted_at, task_uuid);
CREATE INDEX tasks_by_key ON tasks (idempotency_key, submitted_at, task_uuid)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_that_await_callbacks ON tasks (user) WHERE awaits_callback;
CREATE INDEX tasks_by_key_and_user ON tasks (idempotency_key, user, submitted_at, task_uuid)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_by_label ON tasks (label, submitted_at, task_uuid) WHERE label IS NOT NULL;
CREATE INDEX tasks_by_user_and_label ON tasks (user, label, submitted_at, task_uuid)
    WHERE label IS NOT NULL;
CREATE INDEX tasks_with_results ON tasks (user, result_bytes) WHERE result_bytes IS NOT NULL;
CREATE INDEX tasks_in_queue ON tasks (priority, queued_at) WHERE queued_at IS NOT NULL;
CREATE TABLE deliveries (
    task_uuid BLOB, run INTEGER, try_number INTEGER, started_at REAL, delivery TEXT NOT NULL,
    PRIMARY KEY (task_uuid, run, try_number, started_at)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (started_at);
CREATE TABLE workers (worker_id TEXT PRIMARY KEY, at REAL NOT NULL, announcement BLOB NOT NULL);
CREATE TABLE usage (
    task_uuid BLOB PRIMARY KEY, user TEXT NOT NULL, submitted_at REAL NOT NULL, model TEXT NOT NULL,
    audio_s REAL NOT NULL, engine_s REAL NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX usage_by_user ON usage (user, submitted_at, audio_s);
CREATE INDEX usage_by_time ON usage (submitted_at);
CREATE TABLE batches (
    batch_uuid BLOB PRIMARY KEY, user TEXT NOT NULL, submitted_at REAL NOT NULL, is_open INTEGER NOT NULL,
    batch BLOB NOT NULL
);
CREATE INDEX batches_that_are_open ON batches (submitted_at) WHERE is_open;
CREATE TABLE offsets (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE origin (name TEXT NOT NULL);
"""
# User, key, label, priority, words and time of submission hardly ever change: without them most indexes need
# no update.
UPSERT_TASK = """
INSERT INTO tasks VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET
    state = excluded.state, at = excluded.at, queued_at = excluded.queued_at,
    awaits_callback = excluded.awaits_callback, result_bytes = excluded.result_bytes,
    status = excluded.status
"""
# For a task whose own record is read after a status of it.
SET_FIXED = """
UPDATE tasks SET user = ?, idempotency_key = ?, label = ?, priority = ?, words = ? WHERE task_uuid = ?
"""
# The states of tasks that a processor or an uploader works on. Others wait, or are over but for the callback.
WORKED_ON = (State.DOWNLOADING, State.PREPARING, State.SEPARATING, State.UPLOADING)
# The record that says that a batch has ended is not replaced by its first one.
UPSERT_BATCH = """
INSERT INTO batches VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET is_open = excluded.is_open,
    batch = excluded.batch WHERE NOT excluded.is_open
"""
_CACHE_KB = 32 * 1024
_MAX_UNPACKED_BYTES = 1024
_CHECKPOINT_PAGES = 8192


def connect(path: Path) -> sqlite3.Connection:
    """Open the file for writing. Raise sqlite3.Error."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # A crash of the machine may lose the last transactions, which Kafka still has, but damages no file.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    except BaseException:
        # The error's traceback would keep the file open, and its space in use after it is removed.
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection, origin: str) -> None:
    """Create the tables in an empty file. `origin` names the topics from which they are filled."""
    connection.executescript(f"BEGIN;{_SCHEMA}{outcomes.SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT")
    with connection:
        connection.execute("INSERT INTO origin VALUES (?)", (origin,))


def is_made_for(connection: sqlite3.Connection, origin: str) -> bool:
    """Return whether the file has the tables of this version, filled from the topics that `origin` names."""
    if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA_VERSION,):
        return False
    # A crash while the file was made may have left the tables without their origin.
    return bool(connection.execute("SELECT name FROM origin").fetchone() == (origin,))


def pack(status: Status) -> bytes:
    """Compress a status with a result to a quarter: it has each link twice, and the links are similar.

    Others stay as they are. They are short, most are soon replaced, and packing takes longer than storing.
    """
    value = status.to_bytes()
    return zlib.compress(value, 1) if len(value) > _MAX_UNPACKED_BYTES else value


def unpack(packed: bytes) -> Status:
    """Return the status that `pack` has packed. Raise DamagedRow."""
    return decoded(_unpacked, packed)


def _unpacked(packed: bytes) -> Status:
    return Status.model_validate_json(packed if packed.startswith(b"{") else zlib.decompress(packed))


def task_row(status: Status) -> Row:
    is_in_queue = status.state == "queued" and status.next_try_at is None
    return (
        status.task_uuid.bytes,
        status.user,
        status.submitted_at,
        status.state,
        status.at,
        status.at if is_in_queue else None,
        status.idempotency_key,
        awaits_callback(status),
        status.label,
        result_bytes(status),
        status.priority,
        words_of(status),
        pack(status),
    )


def delivery_row(delivery: DeliveryAttempt) -> Row:
    value = delivery.to_bytes().decode()
    return delivery.task_uuid.bytes, delivery.run, delivery.try_number, delivery.started_at, value


def worker_row(worker: WorkerSeen) -> Row:
    return worker.worker_id, worker.at, worker.to_bytes()


def batch_row(batch: TaskBatch) -> Row:
    is_open = batch.hook_url is not None and batch.ended_at is None
    return batch.batch_uuid.bytes, batch.user, batch.submitted_at, is_open, batch.to_bytes()


def fixed_columns(status: Status) -> tuple[str, str | None, str | None, int, str]:
    """Return the columns that `UPSERT_TASK` leaves as they are."""
    return status.user, status.idempotency_key, status.label, status.priority, words_of(status)


def words_of(status: Status) -> str:
    """Return the texts by which people look for a task, each on its own line, as `folded` writes them."""
    is_upload = status.file_name is not None
    texts = (status.label, status.file_name if is_upload else status.audio)
    return folded("\n".join(text for text in texts if text))


def folded(text: str) -> str:
    """Return `text` without differences that a search passes over: case, and the spelling of accents."""
    return unicodedata.normalize("NFC", text.casefold())


def result_bytes(status: Status) -> int | None:
    """Return the bytes of the run's stems in the bucket, None if there are none."""
    return sum(stem.bytes for stem in status.result.stems.values()) if status.result else None


def awaits_callback(status: Status) -> bool:
    """Return whether the callback is still to come. A failed run is over before that: it has a next try."""
    return status.state is State.DELIVERING or status.callback_next_try_at is not None
