"""What a job asks of an engine and what it gets: no process, no model in here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from common.waiting import StopCheck


@dataclass(frozen=True)
class EngineConfig:
    """`fetch_model`: whether a missing model is fetched at start; it never is at job time."""

    model_name: str
    model_dir: Path
    device: Literal["auto", "cuda", "cpu"] = "auto"
    output_format: Literal["wav", "flac", "mp3"] = "wav"
    max_jobs: int = 200
    job_timeout_s: float = 4 * 3600.0
    fetch_model: bool = True


@dataclass(frozen=True)
class StemFile:
    """A complete stem, named `<stem>.<format>`."""

    path: Path
    frames: int
    duration_s: float


@dataclass(frozen=True)
class Separation:
    """`stems` by name; `gain` is the one factor on all of them: they add up to gain × the mix.

    `took_s` is how long the engine worked on it, without the wait for its turn; 0 if it doesn't say.
    """

    stems: dict[str, StemFile]
    gain: float
    model: str
    device: str
    took_s: float = 0.0


class SeparationEngine(Protocol):
    """What a job needs of an engine."""

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Separation:
        """Separates a prepared WAV into files in `target_dir`, in which nobody else writes meanwhile.

        Calls `check` several times a second, which may raise to stop, and `on_progress` with 0 to 1.
        After an error nothing new is left in `target_dir`. Raises what `check` raises, CrashError,
        TransientError (engine_timeout, engine_unavailable, out_of_memory, disk_full, internal_error) and
        PermanentError.
        """
