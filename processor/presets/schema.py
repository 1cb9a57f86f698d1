"""Reads presets from TOML, and says in plain words what is wrong with them."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from common.tasks.messages.choices import MAX_ENSEMBLE_MODELS, Ensemble, ModelName, PresetName, StemName
from common.tasks.messages.worker import MAX_PRESETS, MAX_STEPS

MIX = "mix"
DEFAULT_ENSEMBLE: Ensemble = "avg_fft"
_Weight = Annotated[float, Field(gt=0, le=1000)]
_NAME = TypeAdapter(PresetName)


class BadPresets(Exception):
    """A file of presets is wrong; the message names the file, and the line or the preset and its field."""


class PresetStep(BaseModel):
    """A step of a preset: one model or an ensemble, what it works on, and which stems it gives.

    `on` is `mix`, or a stem of an earlier step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=MAX_ENSEMBLE_MODELS)]
    ensemble: Ensemble | None = None
    weights: tuple[_Weight, ...] | None = None
    on: StemName = MIX
    stems: Annotated[tuple[StemName, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.models) == 1 and (self.ensemble or self.weights):
            raise ValueError("ensemble and weights go with two models or more")
        if self.weights is not None and len(self.weights) != len(self.models):
            raise ValueError(f"{len(self.weights)} weights are given for {len(self.models)} models")
        for name, values in (("models", self.models), ("stems", self.stems)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one of them twice")
        return self


class Preset(BaseModel):
    """Up to four steps. A song gets the stems of the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: Annotated[str, Field(min_length=1, max_length=500)]
    steps: Annotated[tuple[PresetStep, ...], Field(min_length=1, max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _steps_follow(self) -> Self:
        given = {MIX}
        for number, step in enumerate(self.steps, 1):
            if step.on not in given:
                there = ", ".join(sorted(given))
                raise ValueError(f"step {number} works on {step.on}, which no earlier step gives: {there}")
            given.update(step.stems)
        return self

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that a song gets."""
        return self.steps[-1].stems

    @property
    def models(self) -> tuple[str, ...]:
        """The models of all steps, in the order of use."""
        return tuple(model for step in self.steps for model in step.models)


Presets = dict[str, Preset]


def product_file() -> Path:
    """Return the product's own file of presets."""
    return Path(__file__).with_name("product.toml")


def read(path: Path) -> Presets:
    """Return the presets of a file by name. Raises BadPresets."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadPresets(f"{path} is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise BadPresets(f"{path} is not text in UTF-8") from None
    except OSError as error:
        raise BadPresets(f"{path} cannot be read: {error.strerror}") from None
    return {name: _preset(path, name, table) for name, table in found.items()}


def merged(files: Iterable[Path]) -> Presets:
    """Return the presets of all files; a later file replaces those of the same name. Raises BadPresets."""
    found: Presets = {}
    for path in files:
        found |= read(path)
        if len(found) > MAX_PRESETS:
            raise BadPresets(f"{path}: with it there are {len(found)} presets, and {MAX_PRESETS} are allowed")
    return found


def _preset(path: Path, name: str, table: Any) -> Preset:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        allowed = "small letters, digits, - and _"
        raise BadPresets(f"{path}, preset {name!r}: a name has 1 to 64 {allowed}") from None
    try:
        return Preset.model_validate(table)
    except ValidationError as error:
        reasons = "; ".join(_explained(item) for item in error.errors(include_url=False))
        raise BadPresets(f"{path}, preset {name}: {reasons}") from None


def _explained(error: ErrorDetails) -> str:
    """Return the place and the reason of an error, such as `step 2, models: Field required`."""
    place = ", ".join(_placed(error["loc"]))
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        reason = "there is no such field"
    elif error["type"] == "missing":
        reason = "this field is missing"
    elif error["type"] in ("model_type", "dict_type"):
        reason = "expected a table"
    return f"{place}: {reason}" if place else reason


def _placed(location: tuple[int | str, ...]) -> Iterable[str]:
    words = list(location)
    if words[:1] == ["steps"] and len(words) > 1 and isinstance(words[1], int):
        yield f"step {words[1] + 1}"
        words = words[2:]
    for word in words:
        yield f"number {word + 1}" if isinstance(word, int) else word
