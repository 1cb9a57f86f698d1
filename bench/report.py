"""Reports the figures of a run as rows with a verdict: a table for the terminal, and JSON."""

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_HEADINGS = ("part", "what", "ours", "other", "the other is", "figure", "target", "", "load")


@dataclass(frozen=True)
class Target:
    """The value that a row's figure must reach."""

    sense: Literal["at least", "at most"]
    limit: float

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.sense == "at least" else figure <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.sense == 'at least' else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One figure. `ours` and `other` are in `unit` and measured in one run; the target is for `figure`."""

    part: str
    what: str
    unit: str
    ours: float
    figure: float
    other: float | None = None
    other_name: str = ""
    target: Target | None = None
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "pass" if self.target.met(self.figure) else "MISSED"


@dataclass(frozen=True)
class Profile:
    """The seconds that each stage of `what` took; stages of several threads at once add up."""

    part: str
    what: str
    stages: dict[str, float]


def compare(
    part: str, what: str, unit: str, ours: float, other: float, other_name: str, target: Target | None = None
) -> Row:
    """Return a row whose figure is `ours` / `other`."""
    return Row(part, what, unit, ours, ours / other, other, other_name, target)


def table(rows: Sequence[Row]) -> str:
    """Return the rows in aligned columns, with three significant digits."""
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            # align numbers to the right, words to the left
            cell.rjust(width) if column in (2, 3, 5, 8) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.part,
        row.what,
        _number(row.ours, row.unit),
        "" if row.other is None else _number(row.other, row.unit),
        row.other_name,
        _number(row.figure, ""),
        "" if row.target is None else str(row.target),
        row.verdict,
        f"{row.load:.1f}",
    )


def _number(value: float, unit: str) -> str:
    text = f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def machine() -> str:
    """Describe the machine: its CPUs and its load."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{len(os.sched_getaffinity(0))} CPUs of {model}, load averages {load}"


def save(path: Path, rows: Iterable[Row], notes: Iterable[str], profiles: Iterable[Profile] = ()) -> None:
    body = {
        "machine": machine(),
        "notes": list(notes),
        "profiles": [dataclasses.asdict(profile) for profile in profiles],
        "rows": [dataclasses.asdict(row) | {"verdict": row.verdict} for row in rows],
    }
    path.write_text(json.dumps(body, indent=1) + "\n")
