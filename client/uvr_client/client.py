"""`UvrClient`: the api's calls for programs."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode
from uuid import UUID, uuid4

from pydantic import BaseModel

from uvr_client import answers, events
from uvr_client.download import Downloader, LinkRefused
from uvr_client.errors import BadRequest, Conflict, NoResult, NotFound, ServerError
from uvr_client.models import Deliveries, Delivery, State, Submission, Task, TaskEvent, TaskPage
from uvr_client.transport import Patience, Repeat, Transport

_MAX_PAGE = 200
# What the api takes, and what can be a header's value.
_KEY = re.compile(r"[!-~]{1,255}")


class UvrClient:
    """A user's access to one api. May be used from several threads; close it, or use it as a context.

    Every call raises UvrError: Unreachable, Unauthorized, BadRequest, NotFound, Conflict, TooManyRequests,
    ServerError and its kind Unavailable. What can do no harm twice is tried again after a lost connection
    and while the api is unavailable, as `patience` says.
    """

    def __init__(
        self,
        base_url: str,
        username: str,
        password: str,
        *,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
    ):
        """`timeout_s` is that of connecting, and of each read and write.

        Raises ValueError for what is no address of an api, or no user name.
        """
        patience = patience or Patience()
        self._transport = Transport(base_url, username, password, timeout_s, patience)
        self._downloader = Downloader(timeout_s, patience)

    def close(self) -> None:
        self._transport.close()
        self._downloader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        audio: str,
        hook_url: str | None = None,
        idempotency_key: str | None = None,
        cancel_after_s: float | None = None,
    ) -> Submission:
        """Queues the song at the address `audio`; the callback goes to `hook_url`, if there is one.

        A task that is not over `cancel_after_s` after its submission is stopped. Without a key of yours the
        request has one of its own: a repeat after a lost answer is the same task, never a second one.
        Raises Conflict for a key that another submission has had, TooManyRequests for a full queue.
        """
        key = idempotency_key if idempotency_key is not None else str(uuid4())
        if not _KEY.fullmatch(key):
            raise BadRequest(400, "Idempotency-Key: expected 1 to 255 visible ASCII characters")
        given = {"audio": audio, "hook_url": hook_url, "cancel_after_s": cancel_after_s}
        response = self._transport.request(
            "POST",
            "/generate",
            Repeat.ANY,
            # ASCII: also what is no Unicode gets as far as the api, which says what is wrong with it.
            content=json.dumps({name: value for name, value in given.items() if value is not None}),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )
        queued = answers.read(_Queued, response.content)
        return Submission(**queued.model_dump(), idempotency_key=key)

    def status(self, task_uuid: UUID | str) -> Task:
        """How far the task is. Raises NotFound."""
        response = self._transport.request("GET", _path(task_uuid), Repeat.ANY)
        return answers.read(Task, response.content)

    def list(
        self,
        state: State | str | None = None,
        submitted_since: float | None = None,
        submitted_before: float | None = None,
        idempotency_key: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """Your tasks, the newest first, page after page as they are drawn; at most `limit`.

        `submitted_since` and `submitted_before` are in seconds since the epoch.
        """
        asked = {
            "state": state,
            "submitted_since": submitted_since,
            "submitted_before": submitted_before,
            "idempotency_key": idempotency_key,
            "limit": _MAX_PAGE if limit is None else max(1, min(limit, _MAX_PAGE)),
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return islice(self._pages(f"/tasks?{urlencode(given)}"), limit)

    def events(self, task_uuid: UUID | str, last_event_id: str | None = None) -> Iterator[TaskEvent]:
        """The task's status now, or what came after `last_event_id`, and each change until it is over.

        A broken stream is taken up where it broke off. Raises NotFound; Unreachable or Unavailable when
        nothing was heard for the patience's `outage_s`.
        """
        return events.follow(self._transport, _uuid(task_uuid), last_event_id)

    def wait(
        self,
        task_uuid: UUID | str,
        timeout_s: float | None = None,
        on_change: Callable[[Task], None] = lambda task: None,
    ) -> Task:
        """The task once it is over, however it has ended. `on_change` hears each status until then.

        One whose stems are there is waited for no longer than 5 s: it may be `delivering` for a day, until
        its receiver takes the callback. Raises WaitTimeout after `timeout_s`, up to 15 s late; what `events`
        raises.
        """
        task = None
        for task in self.changes(task_uuid, timeout_s):
            on_change(task)
        if task is None:
            raise ServerError(204, "not an answer of the api: a stream without an end")
        return task

    def changes(self, task_uuid: UUID | str, timeout_s: float | None = None) -> Iterator[Task]:
        """Each status of the task for as long as `wait` waits. Raises what `wait` does."""
        for event in events.follow_to_stems(self._transport, _uuid(task_uuid), timeout_s):
            yield event.task

    def deliveries(self, task_uuid: UUID | str) -> Sequence[Delivery]:
        """Each POST of the task's callbacks, the first one first. Raises NotFound."""
        response = self._transport.request("GET", _path(task_uuid, "/deliveries"), Repeat.ANY)
        return answers.read(Deliveries, response.content).deliveries

    def cancel(self, task_uuid: UUID | str) -> Task:
        """Stops the task. What it gives may not be over yet; one that is cancelled already is no error.

        Raises NotFound; Conflict, with its `state`, for one that has ended otherwise.
        """
        try:
            response = self._transport.request("POST", _path(task_uuid, "/cancel"), Repeat.ANY)
        except Conflict as error:
            if error.state == State.CANCELLED:
                return self.status(task_uuid)
            raise
        return answers.read(Task, response.content)

    def redeliver(self, task_uuid: UUID | str) -> Task:
        """Has the callback of a task that is over sent again. It is not repeated after a lost answer.

        Raises NotFound; Conflict, with its `state`, for one that is not over or has no `hook_url`.
        """
        response = self._transport.request("POST", _path(task_uuid, "/redeliver"), Repeat.UNSENT)
        return answers.read(Task, response.content)

    def download(self, task: Task, directory: Path | str) -> dict[str, Path]:
        """The task's stems as files `directory/STEM.EXTENSION`, by the stems' names; their sha256 is checked.

        A file has its name only once it is whole; what is there already is not fetched again. Links that
        the store refuses are asked for anew, once. Raises NoResult for a task without stems, StemMismatch
        for other bytes than announced, else DownloadFailed.
        """
        try:
            return self._fetch(task, Path(directory))
        except LinkRefused:
            return self._fetch(self.status(task.task_uuid), Path(directory))

    def _fetch(self, task: Task, directory: Path) -> dict[str, Path]:
        if task.result is None:
            raise NoResult(f"task {task.task_uuid} has no stems: it is {task.state}")
        stems = task.result.stems
        return {name: self._downloader.fetch(name, stem, directory) for name, stem in stems.items()}

    def _pages(self, path: str | None) -> Iterator[Task]:
        while path:
            response = self._transport.request("GET", path, Repeat.ANY)
            page = answers.read(TaskPage, response.content)
            yield from page.tasks
            path = page.next
            # The credentials go nowhere else.
            if path and not path.startswith("/tasks?"):
                raise ServerError(response.status_code, "not an answer of the api: where `next` leads")


class _Queued(BaseModel):
    task_uuid: UUID
    status: str
    message: str
    ignored: tuple[str, ...] = ()


def _uuid(given: UUID | str) -> UUID:
    """Raises NotFound: what is no id names no task."""
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except ValueError:
        raise NotFound(404, f"There is no such task: {given!r} is no id") from None


def _path(task_uuid: UUID | str, what: str = "") -> str:
    return f"/tasks/{_uuid(task_uuid)}{what}"
