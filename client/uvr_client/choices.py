"""Defines what a submission may choose for one song, and puts it into the form that the api expects."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Format = Literal["wav", "flac", "mp3", "m4a", "ogg"]
Ensemble = Literal[
    "avg_wave",
    "median_wave",
    "min_wave",
    "max_wave",
    "avg_fft",
    "median_fft",
    "min_fft",
    "max_fft",
    "uvr_max_spec",
    "uvr_min_spec",
]


class Choices(TypedDict, total=False):
    """The choices for one song. None, like a choice that is left out, stands for the operator's default.

    `preset`, `model`, or `models` with `ensemble` and `weights`, say what separates. `stems` are the wanted
    ones. `format` and the fields up to `tags` say how the stems are written: `sample_rate` is in Hz or
    `source`, `bit_depth` 32 is float, and `normalize` is `none`, `peak` or `lufs:-14`. `start_s` and
    `duration_s` name the part of the song, in seconds. `label` and `metadata` come back with the task.
    `cache` "refresh" separates the song anew, even if the stems of an earlier task could serve. `priority` is
    1 to 5, 5 for the most urgent tasks.
    """

    preset: str | None
    model: str | None
    models: Sequence[str] | None
    ensemble: Ensemble | None
    weights: Sequence[float] | None
    stems: Sequence[str] | None
    format: Format | None
    bit_depth: Literal[16, 24, 32] | None
    sample_rate: int | Literal["source"] | None
    bitrate_kbps: int | None
    normalize: str | None
    tags: Literal["keep", "none"] | None
    start_s: float | None
    duration_s: float | None
    label: str | None
    metadata: Mapping[str, Any] | None
    cache: Literal["refresh"] | None
    priority: Literal[1, 2, 3, 4, 5] | None


_OUTPUT = ("format", "bit_depth", "sample_rate", "bitrate_kbps", "normalize", "tags")
_LISTS = ("models", "weights", "stems")


def fields_of(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a submission's body. Raises TypeError for the name of no choice."""
    for name in choices:
        if name not in Choices.__annotations__:
            raise TypeError(f"there is no choice named {name!r}")
    given = {name: value for name, value in choices.items() if value is not None}
    fields = {name: list(value) if name in _LISTS else value for name, value in given.items()}
    output = {name: fields.pop(name) for name in _OUTPUT if name in fields}
    return fields | ({"output": output} if output else {})
