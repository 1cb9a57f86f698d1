"""Writes dead letters as text. Strangers' text reaches the terminal as printable characters only."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from common.deadletter.dead_letter import DeadLetter
from common.deadletter.mailbox import Mailbox
from common.jobs.dead_letters import ATTEMPT

_MIN_REASON_CHARS = 24
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
_INDENT = "  "


def shown(text: str) -> str:
    """Masks the credentials in addresses, and escapes the characters that would control a terminal."""
    masked = _CREDENTIALS.sub("***@", text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in masked)


def moment(at_s: float) -> str:
    """Writes a point in time, given in seconds since the epoch, as an ISO time in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(letters: Sequence[DeadLetter], mailbox: Mailbox, width: int | None, every: bool) -> Iterator[str]:
    """Yields a heading and a line for each letter. No line is longer than `width`, if that is given.

    `every` adds the column that tells which letters were replayed.
    """
    full = [_cells(letter, mailbox, every, brief=False) for letter in letters]
    if width is not None and width - _fixed_width(full, every) < _MIN_REASON_CHARS:
        full = [_cells(letter, mailbox, every, brief=True) for letter in letters]
    rows = [_headings(every), *full]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        fixed = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=False))
        yield _cut(f"{fixed}  {row[-1]}".rstrip(), width)


def details(letter: DeadLetter, mailbox: Mailbox) -> Iterator[str]:
    """Yields the lines that describe one letter in full."""
    run = "" if letter.run is None else f", run {letter.run}"
    tries = ", ".join(f"{name} {count}" for name, count in letter.history.failed_tries.items())
    fields = {
        "letter": f"{letter.id}, written {moment(letter.written_at_s)}",
        "kind": letter.kind,
        "task": f"{letter.task_uuid or 'unknown'}{run}",
        "error": f"{letter.error_code}: {letter.reason}",
        "attempt": letter.header(ATTEMPT),
        "failed tries": tries or None,
        "first error": letter.history.first_error,
        "last error": letter.history.last_error,
        "origin": letter.history.origin,
        "replayed": _replayed(letter, mailbox),
        "key": None if letter.key is None else bytes_as_text(letter.key),
    }
    for name, value in fields.items():
        if value is not None:
            yield f"{name:<14}{shown(value)}"
    yield "headers"
    for name, content in headers_of(letter):
        yield f"{_INDENT}{name}: {content}"
    yield from _content(letter)


def as_json(letter: DeadLetter, mailbox: Mailbox) -> str:
    """Returns the letter as JSON in one line."""
    return json.dumps(as_fields(letter, mailbox))


def as_fields(letter: DeadLetter, mailbox: Mailbox) -> dict[str, Any]:
    """Returns what JSON tells of a letter. `replayed_as` is the run that replaced it, or None."""
    return {
        "id": str(letter.id),
        "written_at": moment(letter.written_at_s),
        "kind": letter.kind,
        "task_uuid": letter.task_uuid and str(letter.task_uuid),
        "run": letter.run,
        "error_code": shown(letter.error_code),
        "reason": shown(letter.reason),
        "tries": letter.tries,
        "failed_tries": dict(letter.history.failed_tries),
        "first_error": letter.history.first_error and shown(letter.history.first_error),
        "last_error": letter.history.last_error and shown(letter.history.last_error),
        "origin": shown(letter.history.origin),
        "replayed_as": mailbox.replayed_as(letter),
    }


def headers_of(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    """Yields the names and values of the headers as printable text."""
    for name, content in letter.headers:
        yield shown(name), shown(bytes_as_text(content))


def _headings(every: bool) -> list[str]:
    replayed = ["REPLAYED"] if every else []
    return ["WHEN", "ID", "KIND", "TASK", "RUN", "CODE", "TRIES", *replayed, "REASON"]


def _cells(letter: DeadLetter, mailbox: Mailbox, every: bool, brief: bool) -> list[str]:
    when, task = moment(letter.written_at_s), str(letter.task_uuid or "-")
    return [
        f"{when[5:10]} {when[11:16]}" if brief else when,
        str(letter.id),
        letter.kind,
        task[:8] if brief else task,
        str(letter.run or "-"),
        shown(letter.error_code) or "-",
        str(letter.tries),
        *([_replayed(letter, mailbox)] if every else []),
        shown(letter.reason),
    ]


def _fixed_width(rows: Sequence[Sequence[str]], every: bool) -> int:
    columns = zip(_headings(every)[:-1], *(row[:-1] for row in rows), strict=True)
    return sum(max(map(len, column)) + 2 for column in columns)


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _replayed(letter: DeadLetter, mailbox: Mailbox) -> str:
    run = mailbox.replayed_as(letter)
    return "no" if run is None else f"as run {run}"


def _content(letter: DeadLetter) -> Iterator[str]:
    if letter.message is not None:
        yield "message"
        for line in letter.message.model_dump_json(indent=2).split("\n"):
            yield shown(line)
        return
    kept = "" if len(letter.value) == letter.size_bytes else f", the first {len(letter.value)} shown"
    yield f"bytes ({letter.size_bytes}{kept})"
    yield f"{_INDENT}{shown(bytes_as_text(letter.value))}"


def bytes_as_text(data: bytes) -> str:
    """Returns bytes that need not be text as text."""
    return data.decode(errors="backslashreplace")
