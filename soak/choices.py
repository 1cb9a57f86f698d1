"""Says what each choice of a soak adds to its submission, and what the callback must then tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soak.plan import Choice, Job

OTHER_MODEL = "centre-too"
PRESET = "twice"
PRESETS_TOML = f"""
[{PRESET}]
description = "the vocals of the vocals"

[[{PRESET}.steps]]
models = ["centre"]
stems = ["vocals"]

[[{PRESET}.steps]]
models = ["{OTHER_MODEL}"]
on = "vocals"
stems = ["vocals", "instrumental"]
"""

_PAIR = frozenset({"vocals", "instrumental"})
_START_S, _DURATION_S = 0.1, 0.15


@dataclass(frozen=True)
class Chosen:
    """The fields of a submission, and what its callback must tell; without `models` that is any model.

    `is_plain`: each stem that is named is byte for byte that of a job without choices. `duration_s` is the
    stems' length where the song's length does not decide it.
    """

    fields: Mapping[str, Any]
    stems: frozenset[str] = _PAIR
    models: tuple[str, ...] = ()
    output: Mapping[str, Any] = field(default_factory=dict)
    is_plain: bool = False
    duration_s: float | None = None


CHOSEN: Mapping[Choice, Chosen] = {
    Choice.NOTHING: Chosen({}, is_plain=True),
    Choice.ONE_STEM: Chosen({"stems": ["vocals"]}, frozenset({"vocals"}), is_plain=True),
    Choice.OTHER_MODEL: Chosen({"model": OTHER_MODEL}, models=(OTHER_MODEL,)),
    Choice.ENSEMBLE: Chosen(
        {"models": ["centre", OTHER_MODEL], "ensemble": "avg_wave"}, models=("centre", OTHER_MODEL)
    ),
    Choice.PRESET: Chosen({"preset": PRESET}, models=("centre", OTHER_MODEL)),
    Choice.FLAC: Chosen({"output": {"format": "flac"}}, output={"format": "flac", "bit_depth": 16}),
    Choice.MP3: Chosen(
        {"output": {"format": "mp3", "bitrate_kbps": 128}}, output={"format": "mp3", "bitrate_kbps": 128}
    ),
    Choice.OWN_RATE: Chosen(
        {"output": {"bit_depth": 24, "sample_rate": "source"}},
        output={"format": "wav", "bit_depth": 24, "sample_rate_hz": 44100},
    ),
    Choice.WINDOW: Chosen({"start_s": _START_S, "duration_s": _DURATION_S}, duration_s=_DURATION_S),
}


def label(job: Job) -> str:
    """Return the label of the job's submission."""
    return f"song {job.number}"


def submission(job: Job) -> dict[str, Any]:
    """Return the fields that the job's submission has beside its addresses."""
    named = {"label": label(job), "metadata": {"job": job.number}, "priority": job.priority}
    return {**CHOSEN[job.choice].fields, **named}
