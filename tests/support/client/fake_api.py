"""A scripted api for tests: it follows the real api's contract with the tasks that a test adds.

Cancelling, redelivering and refusing a task answer as the real api does.
"""

import json
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from tests.support.http_server import Connection, Request, Script, ScriptedServer, head, in_turn, serve

FINAL = ("succeeded", "failed", "cancelled")
# Announced, so that a client does not send its next request on a connection that has ended.
_CLOSES = ("Connection", "close")


def task(state: str = "queued", task_uuid: str | None = None, **fields: Any) -> dict[str, Any]:
    """Returns a task as `GET /tasks/{task_uuid}` answers it."""
    at = time.time()
    return {
        "task_uuid": task_uuid or str(uuid4()),
        "state": state,
        "run": 1,
        "attempt": 1,
        "user": "admin",
        "submitted_at": at,
        "updated_at": at,
        "times": {"queued": at},
        **fields,
    }


def answer(status: int, body: Any, headers: Iterable[tuple[str, str]] = ()) -> Script:
    return serve(json.dumps(body).encode(), status, "application/json", [*headers, _CLOSES])


def problem(status: int, detail: str, headers: Iterable[tuple[str, str]] = (), **members: Any) -> Script:
    body = {"title": "A problem", "status": status, "detail": detail, "error": detail, **members}
    return serve(json.dumps(body).encode(), status, "application/problem+json", [*headers, _CLOSES])


def event(status: dict[str, Any], event_id: str) -> bytes:
    return f"event: status\ndata: {json.dumps(status, ensure_ascii=False)}\nid: {event_id}\n\n".encode()


def stream(*parts: bytes, ends: bool = True) -> Script:
    """Sends server-sent events; without `ends` the connection then stays open and silent."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(head(200, [("Content-Type", "text/event-stream; charset=utf-8"), _CLOSES]))
        for part in parts:
            connection.send(part)
        if not ends:
            connection.wait(3600)

    return script


class FakeApi(ScriptedServer):
    """An api whose tasks a test adds with `add`: they can be read, followed, cancelled and redelivered."""

    def add(self, status: dict[str, Any]) -> str:
        """Adds a task and returns its task_uuid."""
        task_uuid = status["task_uuid"]
        is_over = status["state"] in FINAL
        over = problem(409, f"The task is over: {status['state']}", state=status["state"])
        not_over = problem(409, f"The task is not over: {status['state']}", state=status["state"])
        self.on(f"/tasks/{task_uuid}", answer(200, status))
        self.on(f"/tasks/{task_uuid}/events", stream(event(status, "1"), ends=is_over))
        self.on(f"/tasks/{task_uuid}/cancel", over if is_over else answer(202, status))
        self.on(f"/tasks/{task_uuid}/redeliver", answer(202, status) if is_over else not_over)
        return task_uuid

    def first(self, path: str, *scripts: Script) -> None:
        """Answers the next requests of `path` with `scripts`, and later ones as before."""
        self.on(path, in_turn(*scripts, self._scripts[path]))

    def takes_submissions(self, status: dict[str, Any]) -> str:
        """Answers each `POST /generate` with this task. Returns its task_uuid."""
        queued = {"message": "Task has been queued for processing", "status": "queued"}
        self.on("/generate", answer(200, {**queued, "task_uuid": status["task_uuid"]}))
        return self.add(status)
