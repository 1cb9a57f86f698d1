"""Draws the table's rows as one PNG file for each part, and the profiles of a part as another."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot, ticker

from bench.report import Profile, Row

# A share of the bar that has room for its number.
_LABELLED_SHARE = 0.03


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


def write_profiles(directory: Path, profiles: Sequence[Profile]) -> list[Path]:
    """Write a file of stacked bars for each part that has profiles; return the files."""
    written = []
    for part in dict.fromkeys(profile.part for profile in profiles):
        path = directory / f"{part}-profile.png"
        _stacked_bars(path, part, [profile for profile in profiles if profile.part == part])
        written.append(path)
    return written


def _stacked_bars(path: Path, part: str, profiles: Sequence[Profile]) -> None:
    """Draw a bar for each profile, as shares of its sum, because the sums differ a hundredfold."""
    figure, axes = pyplot.subplots(figsize=(10, 1.8 + 0.5 * len(profiles)), layout="constrained")
    stages = list(dict.fromkeys(stage for profile in profiles for stage in profile.stages))
    sums = [sum(profile.stages.values()) for profile in profiles]
    begins = [0.0] * len(profiles)
    for number, stage in enumerate(stages):
        shares = [p.stages.get(stage, 0.0) / total for p, total in zip(profiles, sums, strict=True)]
        axes.barh(range(len(profiles)), shares, left=begins, color=f"C{number}", label=stage)
        for place, (begin, share) in enumerate(zip(begins, shares, strict=True)):
            if share >= _LABELLED_SHARE:
                axes.text(begin + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=8)
        begins = [begin + share for begin, share in zip(begins, shares, strict=True)]
    labels = [f"{profile.what}: {total:.3g} s" for profile, total in zip(profiles, sums, strict=True)]
    axes.set_yticks(range(len(profiles)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    axes.set_title(f"{part}: where the engine's time goes")
    figure.legend(loc="outside lower center", ncols=len(stages), fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


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
