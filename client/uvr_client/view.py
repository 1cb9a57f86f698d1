"""Formats tasks and deliveries for people. Control characters in the api's text are escaped."""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.table import Table

from uvr_client.models import Delivery, State, Task
from uvr_client.offers import OfferedModel, OfferedPreset, OnDevice

# A table of tasks needs this many columns to show addresses.
_WIDE = 200
_DEFAULT_PRIORITY = 3
# They belong to words of Persian and Hindi, and to emojis. Other invisible characters are escaped.
_JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    """Returns the text with control characters, and those that turn the writing direction, escaped."""
    return "".join(c if _is_harmless(c) else c.encode("unicode_escape").decode() for c in str(text))


def _is_harmless(c: str) -> bool:
    # Zs: the spaces, of which str.isprintable lets only U+0020 pass
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs"


def local_time(at: float) -> str:
    """Formats a point in time (seconds since the epoch) in this machine's time zone."""
    try:
        return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(at)


def duration(seconds: float) -> str:
    """Formats a duration in at most two units."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s"


def percent(progress: float | None) -> str:
    """Formats a progress from 0 to 1; empty if there is none."""
    return "" if progress is None else f"{progress:.0%}".replace("%", " %")


def state_text(task: Task) -> str:
    """Returns the task's state, with its place in the queue or the time of its retry."""
    if task.state == State.QUEUED and task.next_try_at is not None:
        return f"queued, retries at {local_time(task.next_try_at)}"
    if task.state == State.QUEUED and task.queue_place is not None:
        return f"queued, place {task.queue_place}"
    return printable(task.state)


def start_estimate(task: Task) -> str:
    """Says when a queued task is expected to start; empty if the api gives no estimate."""
    return "" if task.queue_eta_s is None else f"starts in about {duration(task.queue_eta_s)}"


def task_line(task: Task) -> str:
    """Formats a task as one line."""
    parts = (state_text(task), _running_percent(task), start_estimate(task), error_text(task))
    return f"{task.task_uuid} {', '.join(filter(None, parts))}"


def outcome_line(task: Task) -> str:
    """Formats the outcome of a task that has ended, or has its stems, as one line."""
    if task.has_stems and not task.is_over:
        return f"{task.task_uuid} separated; its callback has not been accepted yet"
    return task_line(task)


def _running_percent(task: Task) -> str:
    return "" if task.is_over or task.state == State.QUEUED else percent(task.progress)


def error_text(task: Task) -> str:
    """Returns the code and message of the task's last failure; empty if there was none."""
    return printable(": ".join(filter(None, (task.error_code, task.error_message))))


def details(task: Task) -> Iterator[tuple[str, str]]:
    """Yields everything that the api says of a task, as pairs of a name and a value."""
    yield "task", str(task.task_uuid)
    state = (state_text(task), _running_percent(task), start_estimate(task))
    yield "state", ", ".join(filter(None, state))
    if task.deleted_at is not None:
        yield "deleted", local_time(task.deleted_at)
    if error := error_text(task):
        yield "error", error
    if task.label is not None:
        yield "label", printable(task.label)
    if task.audio is not None:
        yield "song", printable(_song(task))
    if task.hook_host is not None:
        yield "callback", f"to {printable(task.hook_host)}"
    if task.priority not in (None, _DEFAULT_PRIORITY):
        yield "priority", str(task.priority)
    if task.choices:
        yield "chosen", printable(json.dumps(task.choices, ensure_ascii=False))
    if task.metadata:
        yield "metadata", printable(json.dumps(task.metadata, ensure_ascii=False))
    yield "submitted", f"{local_time(task.submitted_at)} by {printable(task.user)}"
    for name, at in sorted(task.times.items(), key=lambda entered: entered[1]):
        yield f"  {printable(name)}", local_time(at)
    if task.run > 1 or task.attempt > 1:
        yield "run", f"{task.run}, attempt {task.attempt}"
    model = (task.model, task.device) if task.result is None else (task.result.model, task.result.device)
    if any(model):
        yield "model", printable(" on ".join(filter(None, model)))
    if task.result is not None:
        for name, stem in task.result.stems.items():
            yield printable(name), printable(stem.url)
        if task.result.expires_at is not None:
            yield "links until", local_time(task.result.expires_at)


def no_deliveries(task: Task) -> str:
    """Explains why no callback of the task was sent, as far as the api says."""
    # An api that omits `audio` is an earlier one, which omits `hook_host` too.
    if task.hook_host is None and task.audio is not None:
        return "no callback is sent: the task was submitted without a hook_url"
    is_expected = task.hook_host is not None and not task.is_over
    return "no callback has been sent yet" if is_expected else "no callback was sent"


def tasks_table(tasks: Iterable[Task], width: int) -> Table:
    """Makes a table with a row for each task. On a narrow terminal song and callback go to a second line.

    A song with a label is shown by it. A narrow table has the priorities only if one is not the default.
    """
    tasks, is_wide = [*tasks], width >= _WIDE
    has_priority = is_wide or any(task.priority not in (None, _DEFAULT_PRIORITY) for task in tasks)
    columns = ("task", "submitted", "state", "progress", *(("priority",) if has_priority else ()), "user")
    table = plain_table(*columns, *(("song", "callback") if is_wide else ()), "error")
    for task in tasks:
        song, hook_host = printable(task.label or _song(task)), printable(task.hook_host or "")
        name, at = str(task.task_uuid), local_time(task.submitted_at)
        if not is_wide:
            name, at = _two_lines(name, song), _two_lines(at, hook_host and f"→ {hook_host}")
        rest = (song, hook_host) if is_wide else ()
        priority = (str(task.priority or ""),) if has_priority else ()
        table.add_row(
            name,
            at,
            printable(task.state) if task.deleted_at is None else f"{printable(task.state)}, deleted",
            percent(task.progress),
            *priority,
            printable(task.user),
            *rest,
            error_text(task),
        )
    return table


def _two_lines(first: str, second: str) -> str:
    """Puts `second` below `first`, cut to its length. The end stays: an address ends in the song's name."""
    if not second:
        return first
    return f"{first}\n{second if len(second) <= len(first) else '…' + second[1 - len(first) :]}"


def deliveries_table(deliveries: Iterable[Delivery]) -> Table:
    """Makes a table with a row for each POST of a callback.

    Tries of a redelivery are numbered from 1 again, so a column shows when it was requested.
    """
    table = plain_table("run", "redelivery", "try", "at", "took", "answer", "next try")
    for delivery in deliveries:
        error = ": ".join(filter(None, (delivery.error_code, delivery.error_message)))
        answer = str(delivery.status) if delivery.error_code is None else error
        table.add_row(
            str(delivery.run),
            "" if delivery.redelivery_requested_at is None else local_time(delivery.redelivery_requested_at),
            str(delivery.try_number),
            local_time(delivery.started_at),
            f"{delivery.took_s:.2f} s",
            printable(answer),
            "" if delivery.next_try_at is None else local_time(delivery.next_try_at),
        )
    return table


def models_table(models: Iterable[OfferedModel]) -> Table:
    """Makes a table with a row for each model."""
    table = plain_table("model", "stems", "speed", "devices", "architecture", "license")
    for model in models:
        default = " (default)" if model.is_default else ""
        table.add_row(
            printable(model.name) + default,
            printable(", ".join(model.stems)),
            _speed(model.speed),
            _devices(model.devices),
            printable(model.architecture),
            printable(model.license or ""),
        )
    return table


def presets_table(presets: Iterable[OfferedPreset]) -> Table:
    """Makes a table with a row for each preset."""
    table = plain_table("preset", "stems", "speed", "devices", "description")
    for preset in presets:
        table.add_row(
            printable(preset.name),
            printable(", ".join(preset.stems)),
            _speed(preset.speed),
            _devices(preset.devices),
            printable(preset.description),
        )
    return table


def size(size_bytes: int) -> str:
    """Formats a number of bytes in a decimal unit."""
    for unit, unit_bytes in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return f"{size_bytes} B"


def _speed(speed: float | None) -> str:
    """Formats seconds of audio for each second of work."""
    return "" if speed is None else f"{speed:.3g} ×"


def _devices(devices: Iterable[OnDevice]) -> str:
    return ", ".join(" ".join(filter(None, (printable(d.device), _speed(d.speed)))) for d in devices)


def plain_table(*columns: str) -> Table:
    """Makes a table without lines, whose cells are folded but for those of the column `task`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "task")
    return table


def _song(task: Task) -> str:
    """Returns the name of an uploaded file, or the song's address."""
    return task.file_name or task.audio or ""
