"""Has `UvrClient`, which offers the api's calls to programs."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack
from uuid import UUID

from uvr_client import answers, events, texts
from uvr_client.batches import BatchCalls, checked_key
from uvr_client.choices import Choices, fields_of
from uvr_client.download import Downloader, LinkRefused
from uvr_client.errors import Conflict, NoResult, ServerError, StemsDeleted
from uvr_client.keeping import KeepingCalls
from uvr_client.models import Deliveries, Delivery, State, Submission, Task, TaskEvent, TaskPage
from uvr_client.offers import Models, OfferedModel, OfferedPreset, Presets
from uvr_client.parts import Progress
from uvr_client.songs import SongSender
from uvr_client.task_path import task_id, task_path
from uvr_client.transport import Patience, Repeat, Transport, sign_in

_MAX_PAGE = 200


class UvrClient(KeepingCalls, BatchCalls):
    """Calls one api as one user. Threads may share a client; close it, or use it as a context manager.

    Every call raises a kind of UvrError when it fails: Unreachable, Unauthorized, BadRequest, NotFound,
    Conflict, TooManyRequests, ServerError or its subclass Unavailable. After a lost connection, and while
    the api is unavailable, requests that are safe to repeat are retried as `patience` says.
    """

    def __init__(
        self,
        base_url: str,
        username: str = "",
        password: str = "",
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
    ):
        """Signs in by `username` and `password`, or by `key` (`uvr_…`) alone.

        `timeout_s` limits connecting, and each read and write. Raises ValueError when `base_url` is not the
        address of an api, `username` contains a colon, or `key` cannot be sent.
        """
        patience = patience or Patience()
        self._transport = Transport(base_url, sign_in(username, password, key), timeout_s, patience)
        self._downloader = Downloader(timeout_s, patience)
        self._songs = SongSender(self._transport, timeout_s)

    def close(self) -> None:
        for part in (self._transport, self._downloader, self._songs):
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        audio: str | Path,
        hook_url: str | None = None,
        idempotency_key: str | None = None,
        cancel_after_s: float | None = None,
        on_progress: Progress = lambda sent_bytes, size_bytes: None,
        **choices: Unpack[Choices],
    ) -> Submission:
        """Queues a song: a file at a path, which is uploaded, an address, or `upload:ID`.

        The callback goes to `hook_url`, if it is given. `on_progress` is called while a file is uploaded. The
        api cancels the task if it has not ended `cancel_after_s` after its submission. Without
        `idempotency_key` the client makes a key: a retry after a lost answer never makes a second task.
        `choices` are further keyword arguments, which Choices describes. The api checks them: it raises
        BadRequest, whose text lists what is possible.
        Raises Conflict when another submission had the same key, TooManyRequests when the queue is full, and
        UploadFailed for a file that cannot be read or stored, or that changes while it is uploaded.
        """
        key = checked_key(idempotency_key)
        given = {"hook_url": hook_url, "cancel_after_s": cancel_after_s, **fields_of(choices)}
        fields = {name: value for name, value in given.items() if value is not None}
        queued = self._songs.submit(audio, fields, key, on_progress)
        return Submission(**queued.model_dump(), idempotency_key=key)

    def status(self, task_uuid: UUID | str) -> Task:
        """Returns the task with its state and progress. Raises NotFound."""
        response = self._transport.request("GET", task_path(task_uuid), Repeat.ANY)
        return answers.read(Task, response.content)

    def list(
        self,
        state: State | str | None = None,
        submitted_since: float | None = None,
        submitted_before: float | None = None,
        idempotency_key: str | None = None,
        limit: int | None = None,
        label: str | None = None,
        search: str | None = None,
    ) -> Iterator[Task]:
        """Yields your tasks, the newest first, at most `limit`. Pages are fetched as the iterator needs them.

        `submitted_since` and `submitted_before` are in seconds since the epoch. `label` is the beginning of
        the tasks' labels. `search` is words that a task's label, file name or address has, in any order.
        """
        asked = {
            "state": state,
            "submitted_since": submitted_since,
            "submitted_before": submitted_before,
            "idempotency_key": idempotency_key,
            "label": label,
            "search": search,
            "limit": _MAX_PAGE if limit is None else max(1, min(limit, _MAX_PAGE)),
        }
        return islice(self._pages(texts.address("/tasks", asked)), limit)

    def models(self) -> Sequence[OfferedModel]:
        """Returns the models that live processors have installed, by name."""
        response = self._transport.request("GET", "/models", Repeat.ANY)
        return answers.read(Models, response.content).models

    def presets(self) -> Sequence[OfferedPreset]:
        """Returns the presets whose models live processors have installed, by name."""
        response = self._transport.request("GET", "/presets", Repeat.ANY)
        return answers.read(Presets, response.content).presets

    def events(self, task_uuid: UUID | str, last_event_id: str | None = None) -> Iterator[TaskEvent]:
        """Yields the task's status now, then each change until the task has ended.

        With `last_event_id` the events after that one come first. A stream that breaks is continued after its
        last event. Raises NotFound; Unreachable or Unavailable after the patience's `outage_s` without a
        sign of life.
        """
        return events.follow(self._transport, task_id(task_uuid), last_event_id)

    def wait(
        self,
        task_uuid: UUID | str,
        timeout_s: float | None = None,
        on_change: Callable[[Task], None] = lambda task: None,
    ) -> Task:
        """Returns the task once it has ended, in whichever way. Calls `on_change` with each status.

        Once the stems are ready, the wait ends after 5 s at most: a task can be `delivering` for a day, until
        its receiver accepts the callback. Raises WaitTimeout after `timeout_s`, up to 15 s late, and what
        `events` raises.
        """
        task = None
        for task in self.changes(task_uuid, timeout_s):
            on_change(task)
        if task is None:
            raise ServerError(204, "not an answer of the api: the stream of events had no status")
        return task

    def changes(self, task_uuid: UUID | str, timeout_s: float | None = None) -> Iterator[Task]:
        """Yields each status of the task until `wait` would return. Raises what `wait` raises."""
        for event in events.follow_to_stems(self._transport, task_id(task_uuid), timeout_s):
            yield event.task

    def deliveries(self, task_uuid: UUID | str) -> Sequence[Delivery]:
        """Returns each POST of the task's callbacks, the oldest first. Raises NotFound."""
        response = self._transport.request("GET", task_path(task_uuid, "/deliveries"), Repeat.ANY)
        return answers.read(Deliveries, response.content).deliveries

    def cancel(self, task_uuid: UUID | str) -> Task:
        """Asks the api to stop the task. The returned task may still be running for a moment.

        A task that is cancelled already is returned. Raises NotFound; Conflict, with the task's `state`, if
        it has succeeded or failed.
        """
        try:
            response = self._transport.request("POST", task_path(task_uuid, "/cancel"), Repeat.ANY)
        except Conflict as error:
            if error.state == State.CANCELLED:
                return self.status(task_uuid)
            raise
        return answers.read(Task, response.content)

    def redeliver(self, task_uuid: UUID | str) -> Task:
        """Asks the api to send the callback of an ended task again. Not retried after a lost answer.

        Raises NotFound; Conflict, with the task's `state`, if it has not ended or has no `hook_url`.
        """
        response = self._transport.request("POST", task_path(task_uuid, "/redeliver"), Repeat.UNSENT)
        return answers.read(Task, response.content)

    def download(self, task: Task, directory: Path | str) -> dict[str, Path]:
        """Writes the task's stems to `directory/STEM.EXTENSION` and returns the paths by the stems' names.

        Each file's sha256 is checked, and only a complete file gets its name. A stem that is in the directory
        already is not fetched again. If the store refuses a link, the links are renewed once. Raises
        NoResult if the task has no stems, StemsDeleted if they are deleted, StemMismatch if the bytes are not
        those that the api announced, and DownloadFailed otherwise.
        """
        try:
            return self._fetch(task, Path(directory))
        except LinkRefused:
            return self._fetch(self.status(task.task_uuid), Path(directory))

    def _fetch(self, task: Task, directory: Path) -> dict[str, Path]:
        if task.result is None:
            if task.deleted_at is not None:
                raise StemsDeleted(f"task {task.task_uuid} has no stems: they are deleted")
            raise NoResult(f"task {task.task_uuid} has no stems: its state is {task.state}")
        stems = task.result.stems
        return {name: self._downloader.fetch(name, stem, directory) for name, stem in stems.items()}

    def _pages(self, path: str | None) -> Iterator[Task]:
        while path:
            response = self._transport.request("GET", path, Repeat.ANY)
            page = answers.read(TaskPage, response.content)
            yield from page.tasks
            path = page.next
            # Credentials are sent to this path alone, wherever `next` points.
            if path and not (path.startswith("/tasks?") and path.isascii() and path.isprintable()):
                raise ServerError(
                    response.status_code, "not an answer of the api: `next` is not a page of tasks"
                )
