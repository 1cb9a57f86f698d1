"""Waits for tasks, shows how far they are, and fetches the stems of those that have succeeded."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from uvr_client import exits, view
from uvr_client.client import UvrClient
from uvr_client.errors import UvrError
from uvr_client.exits import Exit
from uvr_client.models import Task
from uvr_client.output import Output
from uvr_client.progress import display
from uvr_client.session import end_at_once
from uvr_client.waiting import follow_all


class Watch:
    """`download` is where each task's stems get a directory of its own, None for no download.

    With JSON an object is a task's last status, with `files` and what else is known of it, or with
    `every_change` each of them. `for_receivers`: a task that has its stems is followed until its callback
    is taken, or given up.
    """

    def __init__(
        self,
        client: UvrClient,
        output: Output,
        download: Path | None,
        known: Mapping[UUID, Mapping[str, Any]] | None = None,
        every_change: bool = False,
        for_receivers: bool = False,
    ):
        self._client, self._output, self._download = client, output, download
        self._known, self._every_change = known or {}, every_change
        self._follow = self._to_the_end if for_receivers else client.changes
        self._latest: dict[UUID, Task] = {}
        self._files: dict[UUID, dict[str, Path]] = {}
        self._codes: dict[UUID, Exit] = {}
        self._held_back: list[str] = []

    def run(self, task_uuids: Iterable[UUID]) -> list[Exit]:
        """How the tasks have ended. Ends the process when it is interrupted; the tasks go on."""
        ids = list(dict.fromkeys(task_uuids))
        try:
            with display(self._output.err, silent=self._output.as_json) as shown:
                for task_uuid, told in follow_all(self._follow, ids):
                    if isinstance(told, UvrError):
                        self._fails(task_uuid, told)
                    elif told is None:
                        self._ends(task_uuid)
                    else:
                        shown.show(told)
                        self._changes(told)
        except KeyboardInterrupt:
            self._interrupted([str(i) for i in ids if i not in self._codes])
        finally:
            self._print_held_back()
        return [self._codes.get(task_uuid, Exit.SERVER_ERROR) for task_uuid in ids]

    def _to_the_end(self, task_uuid: UUID) -> Iterator[Task]:
        return (event.task for event in self._client.events(task_uuid))

    def _changes(self, task: Task) -> None:
        self._latest[task.task_uuid] = task
        if self._every_change and not task.is_over:
            self._as_json(task)
        if task.succeeded and self._download is not None and task.task_uuid not in self._files:
            self._fetch(task, self._download)
        if task.is_over:
            self._ends(task.task_uuid)

    def _fetch(self, task: Task, directory: Path) -> None:
        self._files[task.task_uuid] = {}
        try:
            files = self._client.download(task, directory / str(task.task_uuid))
        except UvrError as error:
            self._fails(task.task_uuid, error)
        else:
            self._files[task.task_uuid] = files

    def _ends(self, task_uuid: UUID) -> None:
        """Nothing more will be told of the task: says how it has ended, once."""
        task = self._latest.pop(task_uuid, None)
        if task is None or not (task.is_over or task.has_stems):
            return
        self._codes.setdefault(task_uuid, exits.of_task(task))
        files = self._files.get(task_uuid, {})
        if task.is_over or files or not self._every_change:
            self._as_json(task, {name: str(path) for name, path in files.items()})
        self._as_text(
            [view.ending(task), *(f"  {view.shown(name):12} {path}" for name, path in files.items())]
        )

    def _as_text(self, lines: list[str]) -> None:
        if self._output.as_json:
            return
        # Bars may be on the same terminal: below them is no place before they are at their end.
        self._held_back += lines
        if not self._output.err.is_terminal:
            self._print_held_back()

    def _print_held_back(self) -> None:
        for line in self._held_back:
            self._output.print(line)
        self._held_back.clear()

    def _as_json(self, task: Task, files: Mapping[str, str] | None = None) -> None:
        if self._output.as_json:
            known = self._known.get(task.task_uuid, {})
            extra = {"files": files} if files else {}
            self._output.json({**task.model_dump(mode="json", exclude_none=True), **known, **extra})

    def _fails(self, task_uuid: UUID, error: UvrError) -> None:
        self._codes[task_uuid] = exits.of_error(error)
        self._output.say(f"error: {task_uuid}: {error}")

    def _interrupted(self, left: list[str]) -> None:
        if left:
            ids = " ".join(left)
            self._output.say("no longer waiting; what was submitted goes on")
            self._output.say(f"to follow it again: uvr watch {ids}")
            self._output.say(f"to stop it: uvr cancel {ids}")
        self._print_held_back()  # nothing runs after the end, no `finally` either
        end_at_once(Exit.INTERRUPTED)
