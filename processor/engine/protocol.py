"""Defines what a job asks of an engine and gets from it, without any process or model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from common.waiting import StopCheck
from processor.preparation.decision import RequestedPrecision
from processor.separation.loaded_model import Residual


@dataclass(frozen=True)
class EngineConfig:
    """The engine's settings. With `fetch_model` a missing model is fetched at start, never for a job.

    `precision` is that of the networks; `auto` takes what was decided when the model was installed. After
    `max_jobs` songs the child process is replaced. A song may take `job_timeout_s` seconds. A job may name
    `model_name` or one of `more_models`; at most `warm_models` of them are loaded at once. `digests` are
    those of a model that another engine has installed.
    """

    model_name: str
    model_dir: Path
    device: Literal["auto", "cuda", "cpu"] = "auto"
    precision: RequestedPrecision = "auto"
    output_format: Literal["wav", "flac", "mp3"] = "wav"
    max_jobs: int = 200
    job_timeout_s: float = 4 * 3600.0
    fetch_model: bool = True
    more_models: tuple[str, ...] = ()
    warm_models: int = 2
    digests: tuple[str, str] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models, each once and the default first."""
        return tuple(dict.fromkeys((self.model_name, *self.more_models)))


@dataclass(frozen=True)
class Computed:
    """Says how a song's networks were computed: by which runtime, and in which precision.

    `fallback` tells why another precision than the chosen one was used; None where it was not. `sha256` is
    the digest of the model's file; None if unknown.
    """

    runtime: str
    precision: str
    fallback: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Installed:
    """A model that was fetched, checked and prepared. `stems` are the stems that it gives.

    `sha256` is the digest of the model's file, and `rest_sha256` one of its parameters and other files.
    `speed` is in seconds of audio for each second on this device, which `machine` names for people; None if
    not measured.
    """

    name: str
    architecture: str
    stems: tuple[str, ...]
    sha256: str
    runtime: str | None = None
    precision: str | None = None
    speed: float | None = None
    machine: str | None = None
    rest_sha256: str = ""

    @property
    def digests(self) -> tuple[str, str]:
        """The digests of the model's file, and of the rest."""
        return self.sha256, self.rest_sha256


@dataclass(frozen=True)
class StemFile:
    """A complete stem of `frames` samples per channel, in a file named `<stem>.<format>`."""

    path: Path
    frames: int
    duration_s: float


@dataclass(frozen=True)
class Separation:
    """The stems of one song, by name. `gain` was applied to all of them: they add up to gain × the mix.

    `took_s` is how long the engine worked, in seconds and without the wait for its turn; 0 if unknown.
    `computed` tells how the networks were computed. Of `floats`, float32 WAV files at the mix's own level,
    `residual` names the stem that is the rest of the mix and has no file.
    """

    stems: dict[str, StemFile]
    gain: float
    model: str
    device: str
    took_s: float = 0.0
    computed: Computed = Computed("torch", "fp32")
    residual: Residual | None = None


class SeparationEngine(Protocol):
    """Separates one song after another; the processor's `Engine` or a test's stand-in."""

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
        model: str | None = None,
        floats: bool = False,
    ) -> Separation:
        """Separate a prepared WAV into files in `target_dir`, which nothing else writes to meanwhile.

        `model` is one of the engine's models, or None for the default one. With `floats` the stems are
        float32 WAV files with a gain of 1, without the stem that is the rest of the mix.

        Calls `check` several times a second, which may raise to stop, and `on_progress` with 0 to 1.
        After an error `target_dir` holds nothing new. Raises what `check` raises, CrashError,
        TransientError (engine_timeout, engine_unavailable, out_of_memory, disk_full, internal_error),
        UnlikelyError (model_unknown: the model cannot be loaded) and PermanentError (model_unknown: it is
        none of the engine's).
        """
