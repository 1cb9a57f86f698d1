"""Lets a request wait for the end of its task: `Prefer: wait=N` (RFC 7240), or `?wait=N`."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel

from api.routes.responses import Answer, answer, reference
from api.view.task_view import TaskView, ViewUnavailable
from common.tasks.messages import Status

MAX_WAIT_S = 60
# Each waiting request keeps its connection: beyond this many, further ones are answered at once.
_MAX_WAITING = 1000
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?\s*(;|$)', re.IGNORECASE)

# Parameters have no examples: Swagger UI would send the first one with every request that is tried out.
PREFER_PARAMETER: Mapping[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "title": "Prefer"},
    "description": f"`wait=N` (RFC 7240): answer once the task has ended, but after N seconds at most. More "
    f"than {MAX_WAIT_S} count as {MAX_WAIT_S}. Other preferences are ignored",
}


class Waiters:
    """Counts the requests that wait. Belongs to one event loop."""

    def __init__(self, most: int = _MAX_WAITING):
        self._most, self.count = most, 0

    async def end_of(self, task_uuid: UUID, wait_s: int, view: TaskView, request: Request) -> Status | None:
        """Return the task's final status as soon as there is one, but after `wait_s` seconds at most.

        Return None for a task that has not ended by then. Return None at once if the client is gone, the
        service stops, too many requests wait, or the view cannot answer.
        """
        if not wait_s or self.count >= self._most:
            return None
        self.count += 1
        ended = asyncio.create_task(_end_of(task_uuid, view))
        gone = asyncio.create_task(_client_gone(request))
        try:
            await asyncio.wait((ended, gone), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            self.count -= 1
            for task in (ended, gone):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def preferred_wait_s(request: Request) -> int:
    """Return the seconds of `Prefer: wait=N`, at most 60; 0 without the preference."""
    for header in request.headers.getlist("Prefer"):
        for preference in header.split(","):
            if found := _WAIT.match(preference.strip()):
                return min(int(found[1]), MAX_WAIT_S)
    return 0


def location_of(task_uuid: UUID) -> dict[str, str]:
    return {"Location": f"/tasks/{task_uuid}"}


def applied(wait_s: int) -> dict[str, str]:
    """Return the header that says that the preference was heeded."""
    return {"Preference-Applied": f"wait={wait_s}"}


def documented(when: str, example: BaseModel, *, has_preference: bool) -> Answer:
    """Return the description of a 202 with the headers that it has."""
    headers = {
        "Location": {"schema": {"type": "string"}, "description": "where to ask for the task again"},
        "Preference-Applied": {"schema": {"type": "string"}, "description": "`wait=N`, as it was heeded"},
    }
    if not has_preference:
        del headers["Preference-Applied"]
    described = answer(when, example)
    described["content"]["application/json"]["schema"] = reference(type(example))
    return {**described, "headers": headers}


async def _end_of(task_uuid: UUID, view: TaskView) -> Status | None:
    with view.watch(task_uuid) as watch:
        try:
            # After the watch has begun: a change before it reaches no watch.
            now = await view.find(task_uuid)
        except ViewUnavailable:
            return None
        while now is not None and not now.state.is_final and not view.is_ending:
            now = await watch.news() or now
        return now if now is not None and now.state.is_final else None


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
