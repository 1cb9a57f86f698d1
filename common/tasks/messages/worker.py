"""The messages of `uvr_models`."""

from typing import Annotated, Literal

from pydantic import Field

from common.tasks.messages.choices import MAX_ENSEMBLE_MODELS, Ensemble, ModelName, PresetName, StemName
from common.tasks.messages.fields import SCHEMA_VERSION, Count, MessageModel, Moment

MAX_MODELS = 500
MAX_PRESETS = 200
MAX_STEPS = 4


class InstalledModel(MessageModel):
    """A model that a processor has. `speed` is in seconds of audio for each second; None if not measured.

    `runtime` and `precision` tell how its networks are computed there.
    """

    name: ModelName
    architecture: str = Field(max_length=40)
    stems: tuple[StemName, ...]
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    speed: Annotated[float, Field(ge=0, le=1e6)] | None = None
    runtime: str | None = None
    precision: str | None = None
    is_warm: bool = False
    license: str | None = Field(default=None, max_length=200)
    scores: dict[StemName, float] = Field(default_factory=dict)
    """The median SDR of each stem in dB, where the library knows it."""


class PresetStep(MessageModel):
    """One step of a preset. `on` is `mix`, or a stem of an earlier step."""

    models: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=MAX_ENSEMBLE_MODELS)]
    ensemble: Ensemble | None = None
    on: str = "mix"
    stems: tuple[StemName, ...]


class AvailablePreset(MessageModel):
    """A preset whose models a processor has. `speed` is in seconds of audio for each second."""

    name: PresetName
    description: str = Field(max_length=500)
    steps: Annotated[tuple[PresetStep, ...], Field(min_length=1, max_length=MAX_STEPS)]
    stems: tuple[StemName, ...]
    speed: Annotated[float, Field(ge=0, le=1e6)] | None = None


class WorkerSeen(MessageModel):
    """`uvr_models`: what a processor can do, keyed by `worker_id`. `at` is in seconds since the epoch.

    An announcement older than 3 min does not count: its processor may be gone. `stopped` is that of a
    processor which has ended in good order. `running` counts the tasks that it works on.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    worker_id: str = Field(min_length=1, max_length=200)
    at: Moment
    stopped: bool = False
    version: str = Field(max_length=40)
    device: str = Field(max_length=200)
    slots: Count
    running: Count = 0
    default_model: ModelName
    models: Annotated[tuple[InstalledModel, ...], Field(max_length=MAX_MODELS)] = ()
    presets: Annotated[tuple[AvailablePreset, ...], Field(max_length=MAX_PRESETS)] = ()


MAX_AGE_S = 180.0
