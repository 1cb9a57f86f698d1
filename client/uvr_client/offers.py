"""Models of the api's answers about models and presets.

`speed` is in seconds of audio for each second of work, the fastest of any processor; None: not measured.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    """An answer of the api; fields that this version does not know are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class OnDevice(_Answer):
    """A device on which `workers` processors have a model or preset."""

    device: str
    workers: int
    speed: float | None = None


class OfferedModel(_Answer):
    """A model that a processor has installed. `scores` are median SDRs in dB, by stem.

    `warm_on` processors have it loaded. `is_default`: tasks that choose no model get it.
    """

    name: str
    architecture: str
    stems: tuple[str, ...]
    license: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    is_default: bool = False
    speed: float | None = None
    devices: tuple[OnDevice, ...] = ()
    workers: int = 1
    warm_on: int = 0


class OfferedPreset(_Answer):
    """A preset whose models a processor has installed. `steps` are as the api describes them."""

    name: str
    description: str
    stems: tuple[str, ...]
    steps: tuple[dict[str, Any], ...] = ()
    speed: float | None = None
    devices: tuple[OnDevice, ...] = ()
    workers: int = 1


class Models(_Answer):
    """All models, by name."""

    models: tuple[OfferedModel, ...]


class Presets(_Answer):
    """All presets, by name."""

    presets: tuple[OfferedPreset, ...]
