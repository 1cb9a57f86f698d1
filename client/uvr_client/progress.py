"""Shows the progress of tasks while a user waits: bars on a terminal, lines elsewhere."""

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
    """Returns the display that fits `console`; `silent` asks for one that shows nothing."""
    if silent:
        return Nothing()
    return Bars(console) if console.is_terminal else Lines(console)


class Nothing:
    """Shows nothing, for scripts that read the results."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, task: Task) -> None: ...


class Lines(Nothing):
    """Prints a line for each change of state and for each 10 % of progress.

    The final state is not printed here: it is a result, and results go to standard output.
    """

    def __init__(self, console: Console):
        self._console = console
        self._printed: dict[UUID, tuple[str, int]] = {}

    def show(self, task: Task) -> None:
        step = (view.state_text(task), int((task.progress or 0.0) / _STEP))
        if not task.is_over and self._printed.get(task.task_uuid) != step:
            self._printed[task.task_uuid] = step
            self._console.print(view.task_line(task), soft_wrap=True)


class Bars:
    """Shows a bar for each task, with its state and the time left."""

    def __init__(self, console: Console):
        self._bars: dict[UUID, TaskID] = {}
        # No redirection: results go to standard output, which may be a file while the bars are on a terminal.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[state]}", markup=False),
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
                str(task.task_uuid)[:8], start=False, total=1.0, state="", percent="", eta=""
            )
            self._bars[task.task_uuid] = bar
        if task.state != State.QUEUED:
            self._progress.start_task(bar)  # the speed is measured from here, without the time in the queue
        self._progress.update(
            bar,
            completed=task.progress,
            state=view.state_text(task),
            percent=view.percent(task.progress),
            eta="" if task.is_over else view.start_estimate(task),
        )
        if task.is_over:
            self._progress.stop_task(bar)


class _Eta(ProgressColumn):
    """Shows the api's estimate while a task is queued, then one from the progress of the last 30 s."""

    def render(self, task: Bar) -> Text:
        if task.fields["eta"] or task.stop_time is not None or task.time_remaining is None:
            return Text(task.fields["eta"])
        return Text(f"{view.duration(task.time_remaining)} left")
