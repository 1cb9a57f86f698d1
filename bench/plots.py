"""Draws the table's rows, as one PNG file for each part."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

from bench.report import Row


def write(directory: Path, rows: Sequence[Row]) -> list[Path]:
    """Write a file for each part that has comparisons; return the files."""
    written = []
    for part in dict.fromkeys(row.part for row in rows):
        compared = [row for row in rows if row.part == part and row.other is not None]
        if compared:
            path = directory / f"{part}.png"
            _bars(path, part, compared)
            written.append(path)
    return written


def _bars(path: Path, part: str, rows: Sequence[Row]) -> None:
    """Draw two bars for each row, as shares of the longer one, because rows have different units."""
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.7 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        longest = max(row.ours, row.other)
        _bar(axes, place - 0.18, row.ours / longest, f"{row.ours:.4g} {row.unit}", "tab:blue")
        label = f"{row.other:.4g} {row.unit}: {row.other_name}"
        _bar(axes, place + 0.18, row.other / longest, label, "tab:gray")
    labels = [f"{row.what}\n{row.figure:.3g}{_target(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6)
    axes.set_xticks([])
    axes.set_title(f"{part} (blue: UVR API)")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bar(axes, place: float, length: float, label: str, colour: str) -> None:
    axes.barh(place, length, height=0.34, color=colour)
    axes.text(length + 0.01, place, label, va="center", fontsize=8)


def _target(row: Row) -> str:
    return f" (target {row.target}: {row.verdict})" if row.target else ""
