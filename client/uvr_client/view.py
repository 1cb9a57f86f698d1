"""How tasks and deliveries look to people. Text of the api is shown so that it can do a terminal no harm."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.table import Table

from uvr_client.models import Delivery, State, Task

# So many columns a table of tasks takes with an address in it.
_WIDE = 200


def shown(text: object) -> str:
    """Without what controls a terminal or turns the direction of writing: those are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def when(at: float) -> str:
    """A point in time in seconds since the epoch, in this machine's time zone."""
    try:
        return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(at)


def duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s"


def percent(progress: float | None) -> str:
    return "" if progress is None else f"{progress:.0%}".replace("%", " %")


def stage(task: Task) -> str:
    """Where it is, in words; while it is queued, which place it has."""
    if task.state == State.QUEUED and task.next_try_at is not None:
        return f"queued, tries again at {when(task.next_try_at)}"
    if task.state == State.QUEUED and task.queue_place is not None:
        return f"queued, place {task.queue_place}"
    return shown(task.state)


def eta(task: Task) -> str:
    """How long until a queued task is taken, as the api sees it; empty where it does not tell."""
    return "" if task.queue_eta_s is None else f"starts in about {duration(task.queue_eta_s)}"


def line(task: Task) -> str:
    """A task in one line."""
    told = (stage(task), _under_way(task), eta(task), error(task))
    return f"{task.task_uuid} {', '.join(filter(None, told))}"


def ending(task: Task) -> str:
    """How a task has ended for who waits for it, in one line."""
    if task.has_stems and not task.is_over:
        return f"{task.task_uuid} separated; its callback is still to be taken"
    return line(task)


def _under_way(task: Task) -> str:
    return "" if task.is_over or task.state == State.QUEUED else percent(task.progress)


def error(task: Task) -> str:
    told = (task.error_code, task.error_message)
    return shown(": ".join(filter(None, told)))


def details(task: Task) -> Iterator[tuple[str, str]]:
    """All that is known of one task, as names and values."""
    yield "task", str(task.task_uuid)
    yield "state", ", ".join(filter(None, (stage(task), _under_way(task), eta(task))))
    if error(task):
        yield "error", error(task)
    if task.audio is not None:
        yield "song", shown(task.audio)
    if task.hook_host is not None:
        yield "callback", f"to {shown(task.hook_host)}"
    yield "submitted", f"{when(task.submitted_at)} by {shown(task.user)}"
    for name, at in sorted(task.times.items(), key=lambda entered: entered[1]):
        yield f"  {shown(name)}", when(at)
    if task.run > 1 or task.attempt > 1:
        yield "run", f"{task.run}, attempt {task.attempt}"
    model = (task.model, task.device) if task.result is None else (task.result.model, task.result.device)
    if any(model):
        yield "model", shown(" on ".join(filter(None, model)))
    if task.result is not None:
        for name, stem in task.result.stems.items():
            yield shown(name), shown(stem.url)
        if task.result.expires_at is not None:
            yield "links until", when(task.result.expires_at)


def no_deliveries(task: Task) -> str:
    """Why no callback of the task was sent, as far as the api tells."""
    # An api that does not tell the song does not tell either whom it calls.
    if task.hook_host is None and task.audio is not None:
        return "nobody is called: the task was submitted without a hook_url"
    is_to_come = task.hook_host is not None and not task.is_over
    return "no callback was sent yet" if is_to_come else "no callback was sent"


def tasks_table(tasks: Iterable[Task], width: int) -> Table:
    """A line for each task. Where `width` has no room for it, song and callback stand on a second line."""
    is_wide = width >= _WIDE
    columns = ("task", "submitted", "state", "progress", "user")
    table = _table(*columns, *(("song", "callback") if is_wide else ()), "error")
    for task in tasks:
        song, called = shown(task.audio or ""), shown(task.hook_host or "")
        name, at = str(task.task_uuid), when(task.submitted_at)
        if not is_wide:
            name, at = _two_lines(name, song), _two_lines(at, called and f"→ {called}")
        rest = (song, called) if is_wide else ()
        table.add_row(
            name, at, shown(task.state), percent(task.progress), shown(task.user), *rest, error(task)
        )
    return table


def _two_lines(first: str, second: str) -> str:
    """`second` is cut at its beginning to the length of `first`: an address ends in the song's name."""
    if not second:
        return first
    return f"{first}\n{second if len(second) <= len(first) else '…' + second[1 - len(first) :]}"


def deliveries_table(deliveries: Iterable[Delivery]) -> Table:
    """Tries of a redelivery are numbered from 1 again: when it was asked for tells them apart."""
    table = _table("run", "redelivery", "try", "at", "took", "answer", "next try")
    for delivery in deliveries:
        told = (delivery.error_code, delivery.error_message)
        answer = str(delivery.status) if delivery.error_code is None else ": ".join(filter(None, told))
        table.add_row(
            str(delivery.run),
            "" if delivery.redelivery_requested_at is None else when(delivery.redelivery_requested_at),
            str(delivery.try_number),
            when(delivery.started_at),
            f"{delivery.took_s:.2f} s",
            shown(answer),
            "" if delivery.next_try_at is None else when(delivery.next_try_at),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "task")
    return table
