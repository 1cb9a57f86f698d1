"""Waits for tasks, shows their progress, and downloads the stems of those that succeed."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from uvr_client import exits, view
from uvr_client.client import UvrClient
from uvr_client.errors import StemsDeleted, UvrError
from uvr_client.exits import Exit
from uvr_client.models import Task
from uvr_client.output import Output
from uvr_client.progress import Display, display
from uvr_client.session import end_at_once
from uvr_client.waiting import follow_all


class TaskWatcher:
    """Waits for tasks and prints their outcomes.

    `download` is the directory in which each task's stems get a directory of their own; None downloads
    nothing. With --json each task's last status is printed, with `files` and the task's entry in
    `extra_fields`; `every_change` prints each status. `until_delivered` follows a task that has its stems
    until its callback is accepted or given up.
    """

    def __init__(
        self,
        client: UvrClient,
        output: Output,
        download: Path | None,
        extra_fields: Mapping[UUID, Mapping[str, Any]] | None = None,
        every_change: bool = False,
        until_delivered: bool = False,
    ):
        self._client, self._output, self._download = client, output, download
        self._extra_fields, self._every_change = extra_fields or {}, every_change
        self._until_delivered = until_delivered
        self._follow = self._follow_to_delivery if until_delivered else client.changes
        self._latest: dict[UUID, Task] = {}
        self._files: dict[UUID, dict[str, Path]] = {}
        self._codes: dict[UUID, Exit] = {}
        self._held_back: list[str] = []

    def run(self, task_uuids: Iterable[UUID]) -> list[Exit]:
        """Waits and returns the tasks' exit codes. An interrupt ends the process, and the tasks go on."""
        ids = list(dict.fromkeys(task_uuids))
        try:
            with display(self._output.err, silent=self._output.as_json) as progress:
                for task_uuid, update in follow_all(self._follow, ids):
                    self._handle(task_uuid, update, progress)
        except KeyboardInterrupt:
            self._interrupted([str(i) for i in ids if i not in self._codes])
        finally:
            self._print_held_back()
        return [self._codes.get(task_uuid, Exit.SERVER_ERROR) for task_uuid in ids]

    def _handle(self, task_uuid: UUID, update: Task | UvrError | None, progress: Display) -> None:
        if isinstance(update, UvrError):
            self._on_error(task_uuid, update)
        elif update is None:
            self._on_end(task_uuid)
        else:
            progress.show(update)
            self._on_status(update)

    def _follow_to_delivery(self, task_uuid: UUID) -> Iterator[Task]:
        return (event.task for event in self._client.events(task_uuid))

    def _on_status(self, task: Task) -> None:
        self._latest[task.task_uuid] = task
        if self._every_change and not task.is_over:
            self._as_json(task)
        if task.succeeded and self._download is not None and task.task_uuid not in self._files:
            self._fetch(task, self._download)
        elif task.succeeded and task.deleted_at is not None and not self._until_delivered:
            self._on_error(task.task_uuid, StemsDeleted("the task has no stems: they are deleted"))
        if task.is_over:
            self._on_end(task.task_uuid)

    def _fetch(self, task: Task, directory: Path) -> None:
        self._files[task.task_uuid] = {}
        try:
            files = self._client.download(task, directory / str(task.task_uuid))
        except UvrError as error:
            self._on_error(task.task_uuid, error)
        else:
            self._files[task.task_uuid] = files

    def _on_end(self, task_uuid: UUID) -> None:
        """Prints the outcome of a task whose last status has been seen; a second call does nothing."""
        task = self._latest.pop(task_uuid, None)
        if task is None or not (task.is_over or task.has_stems):
            return
        self._codes.setdefault(task_uuid, exits.of_task(task))
        files = self._files.get(task_uuid, {})
        if task.is_over or files or not self._every_change:
            self._as_json(task, {name: str(path) for name, path in files.items()})
        self._as_text(
            [
                view.outcome_line(task),
                *(f"  {view.printable(name):12} {self._output.path(path)}" for name, path in files.items()),
            ]
        )

    def _as_text(self, lines: list[str]) -> None:
        if self._output.as_json:
            return
        # Bars may be on the same terminal: lines can be printed below them only after the bars have ended.
        self._held_back += lines
        if not self._output.err.is_terminal:
            self._print_held_back()

    def _print_held_back(self) -> None:
        for line in self._held_back:
            self._output.print(line)
        self._held_back.clear()

    def _as_json(self, task: Task, files: Mapping[str, str] | None = None) -> None:
        if self._output.as_json:
            extra_fields = self._extra_fields.get(task.task_uuid, {})
            found_files = {"files": files} if files else {}
            status = task.model_dump(mode="json", exclude_none=True)
            self._output.json({**status, **extra_fields, **found_files})

    def _on_error(self, task_uuid: UUID, error: UvrError) -> None:
        self._codes[task_uuid] = exits.of_error(error)
        self._output.say(f"error: {task_uuid}: {error}")

    def _interrupted(self, left: list[str]) -> None:
        if left:
            ids = " ".join(left)
            state = "the task goes on" if len(left) == 1 else "the tasks go on"
            self._output.say(f"no longer waiting; {state}")
            self._output.say(f"to follow again: uvr watch {ids}")
            self._output.say(f"to cancel: uvr cancel {ids}")
        self._print_held_back()  # before the exit, after which no `finally` runs
        end_at_once(Exit.INTERRUPTED)
