"""How far tasks are, while somebody waits: bars on a terminal, lines elsewhere."""

from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.progress import Task as Bar
from rich.text import Text

from uvr_client import view
from uvr_client.models import State, Task

_STEP = 0.1


class Display(Protocol):
    """A context in which tasks are shown."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, task: Task) -> None: ...


def display(console: Console, silent: bool) -> Display:
    if silent:
        return Nothing()
    return Bars(console) if console.is_terminal else Lines(console)


class Nothing:
    """For scripts, which read the results."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, task: Task) -> None: ...


class Lines(Nothing):
    """A line for each change of state, and for each tenth of the way. How a task ended is a result."""

    def __init__(self, console: Console):
        self._console = console
        self._told: dict[UUID, tuple[str, int]] = {}

    def show(self, task: Task) -> None:
        news = (view.stage(task), int((task.progress or 0.0) / _STEP))
        if not task.is_over and self._told.get(task.task_uuid) != news:
            self._told[task.task_uuid] = news
            self._console.print(view.line(task), soft_wrap=True)


class Bars:
    """A bar for each task, with its stage and how long it will take."""

    def __init__(self, console: Console):
        self._bars: dict[UUID, TaskID] = {}
        # Results go to standard output themselves, which may be another place than the bars'.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[stage]}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[percent]}", markup=False),
            _Eta(),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, task: Task) -> None:
        bar = self._bars.get(task.task_uuid)
        if bar is None:
            bar = self._progress.add_task(
                str(task.task_uuid)[:8], start=False, total=1.0, stage="", percent="", eta=""
            )
            self._bars[task.task_uuid] = bar
        if task.state != State.QUEUED:
            self._progress.start_task(bar)  # how fast it is counts from here on
        self._progress.update(
            bar,
            completed=task.progress,
            stage=view.stage(task),
            percent=view.percent(task.progress),
            eta="" if task.is_over else view.eta(task),
        )
        if task.is_over:
            self._progress.stop_task(bar)


class _Eta(ProgressColumn):
    """What the api says while a task is queued, then what the progress of the last half minute says."""

    def render(self, task: Bar) -> Text:
        if task.fields["eta"] or task.stop_time is not None or task.time_remaining is None:
            return Text(task.fields["eta"])
        return Text(f"{view.duration(task.time_remaining)} left")
