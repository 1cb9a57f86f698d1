"""A count of damaged rows is answered with 503, and the damage is reported, whatever the rows hold."""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from uuid import UUID

import pytest

from api.view.merge import of_task
from api.view.task_view import ViewUnavailable
from common.tasks.messages import PublishedStem, State, SuccessCallback, Task
from tests.support.api.api_client import ApiClient, basic
from tests.support.api.stored_view import StoredView

ALICE = basic("alice", "password")
NO_TEXT, BLOB = "CAST(x'ff41' AS TEXT)", "x'ff41'"

DAMAGE = [
    *((path, f"UPDATE {table} SET user = {value}") for value in (NO_TEXT, BLOB) for path, table in (
        ("/usage?all=1", "usage"), ("/usage?all=1", "tasks"), ("/users", "tasks"), ("/users", "outcomes"),
    )),
    *(("/usage?all=1", f"UPDATE usage SET model = {value}") for value in (NO_TEXT, BLOB)),
    ("/usage?all=1", "UPDATE usage SET audio_s = 9e999"),
    ("/usage?all=1", "UPDATE usage SET engine_s = 9e999"),
    ("/usage?all=1", "UPDATE usage SET bytes = 0.5"),
    ("/usage?all=1", "UPDATE tasks SET result_bytes = 0.5"),
    ("/queue", "UPDATE tasks SET priority = 'odd'"),
    ("/queue", f"UPDATE tasks SET priority = {NO_TEXT}"),
    ("/queue", "UPDATE tasks SET queued_at = 'odd'"),
    ("/queue", f"UPDATE outcomes SET state = {NO_TEXT}"),
    ("/failures", f"UPDATE outcomes SET error_code = {NO_TEXT}"),
    ("/failures", f"UPDATE outcomes SET error_code = {BLOB}"),
    ("/failures", "UPDATE outcomes SET at = 'odd'"),
    ("/failures", "UPDATE outcomes SET at = 9e999"),
    ("/failures", "UPDATE outcomes SET task_uuid = x'00' WHERE error_code IS NOT NULL"),
]  # fmt: skip


def view_of_one_of_each() -> StoredView:
    """A task that waits, one that runs, one that has failed and one that has stems."""
    view, now_s = StoredView(), time.time()
    stem = PublishedStem(url="u", sha256="ab" * 32, bytes=5, duration_s=1.0)
    about = {"timestamp": 1.0, "model": "m", "device": "cpu"}
    result = SuccessCallback(task_uuid=UUID(int=3), stems={"vocals": stem}, **about)
    changes = (
        {},
        {"state": State.SEPARATING},
        {"state": State.FAILED, "error_code": "too_long"},
        {"state": State.SUCCEEDED, "result": result, "audio_s": 1.0, "engine_s": 1.0},
    )
    for number, change in enumerate(changes):
        task = Task(task_uuid=UUID(int=number), audio="a", submitted_at=now_s, user="alice")
        view.tell(of_task(task).model_copy(update=change))
    return view


def change(path: Path, sql: str) -> int:
    """Return the number of rows that were changed."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).rowcount


@pytest.mark.parametrize("path", sorted({path for path, _ in DAMAGE}))
def test_sound_rows_are_counted(path, three_users):
    client = ApiClient(view=view_of_one_of_each(), basic_auth_users_file=three_users, admin_usernames="alice")
    assert client.request("GET", path, ALICE).status == 200


@pytest.mark.parametrize(("path", "sql"), DAMAGE)
def test_a_damaged_row_has_the_file_made_anew(path, sql, three_users):
    view = view_of_one_of_each()
    assert change(view.store.path, sql)
    client = ApiClient(view=view, basic_auth_users_file=three_users, admin_usernames="alice")
    answer = client.request("GET", path, ALICE)
    assert (answer.status, view.feed.repair.is_due) == (503, True)
    # Not what is damaged, which may be another user's.
    assert "The view cannot be read: its file is damaged" in answer.json()["error"]


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        (lambda view: view.room_s("alice", 1), "UPDATE tasks SET queued_at = 'odd'"),
        (lambda view: view.room_s("alice", 1), "UPDATE tasks SET priority = 'odd'"),
        (lambda view: view.room_s("alice", 1), "UPDATE tasks SET priority = 9"),
        (lambda view: view.audio_s_since("alice", 0.0), "UPDATE usage SET audio_s = 9e999"),
    ],
)
def test_so_has_one_that_the_limits_of_a_user_ask_for(question, sql):
    view = view_of_one_of_each()
    asyncio.run(question(view))
    assert change(view.store.path, sql)
    with pytest.raises(ViewUnavailable, match="The view cannot be read"):
        asyncio.run(question(view))
    assert view.feed.repair.is_due
