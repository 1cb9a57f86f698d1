"""An api that a test scripts: it speaks the contract of the real one, with the tasks that it is given.

What steers a task (cancel, redeliver) and what refuses one answers as it would there.
"""

import json
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from tests.support.http_server import Connection, Request, Script, ScriptedServer, head, in_turn, serve

FINAL = ("succeeded", "failed", "cancelled")
# Said, so that a client does not send its next request where nobody reads any more.
_CLOSES = ("Connection", "close")


def task(state: str = "queued", task_uuid: str | None = None, **fields: Any) -> dict[str, Any]:
    """A task as `GET /tasks/{task_uuid}` tells it."""
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


def event(told: dict[str, Any], event_id: str) -> bytes:
    return f"event: status\ndata: {json.dumps(told, ensure_ascii=False)}\nid: {event_id}\n\n".encode()


def stream(*parts: bytes, ends: bool = True) -> Script:
    """Server-sent events; without `ends` the connection stays open after them, silent."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(head(200, [("Content-Type", "text/event-stream; charset=utf-8"), _CLOSES]))
        for part in parts:
            connection.send(part)
        if not ends:
            connection.wait(3600)

    return script


class FakeApi(ScriptedServer):
    """`add` a task, and it can be asked for, followed, cancelled and its callback sent again."""

    def add(self, told: dict[str, Any]) -> str:
        """Its task_uuid."""
        task_uuid = told["task_uuid"]
        is_over = told["state"] in FINAL
        over = problem(409, f"The task is over: {told['state']}", state=told["state"])
        not_over = problem(409, f"The task is not over: {told['state']}", state=told["state"])
        self.on(f"/tasks/{task_uuid}", answer(200, told))
        self.on(f"/tasks/{task_uuid}/events", stream(event(told, "1"), ends=is_over))
        self.on(f"/tasks/{task_uuid}/cancel", over if is_over else answer(202, told))
        self.on(f"/tasks/{task_uuid}/redeliver", answer(202, told) if is_over else not_over)
        return task_uuid

    def first(self, path: str, *scripts: Script) -> None:
        """The next requests of `path` get these, those after them what it gave before."""
        self.on(path, in_turn(*scripts, self._scripts[path]))

    def takes_submissions(self, told: dict[str, Any]) -> str:
        """Each `POST /generate` gives this task; its task_uuid."""
        queued = {"message": "Task has been queued for processing", "status": "queued"}
        self.on("/generate", answer(200, {**queued, "task_uuid": told["task_uuid"]}))
        return self.add(told)
