"""Runs the processor with an engine for tests, the bench or the soak. The environment chooses the engine.

    ENGINE_SLEEP_S=60 python -m tests.support.processor.stand_in_processor

ENGINE_SLEEP_S      A stand-in engine sleeps for this time, then writes stems that are shares of the mix.
ENGINE_SLEEP_SHARE  The same, but the stand-in sleeps for this share of the song's length, 4 s at most.
neither             The product's own engine.

ENGINE_STEM_SHARES  JSON: the stand-in's stems with their shares of the mix. By default both are halves.
ENGINE_INSTALLED    If set, the stand-in's models are announced, and their stems may serve later tasks.
ENGINE_SPANS        A file that gets a JSON line for each job: `[from, until]` in seconds since the epoch. The
                    stand-in then takes one job at a time, as the product's engine does.
KILLING_SONG_S      A song of this length kills the stand-in's process, which is the processor.
DEADLY              JSON, `{"3": "SIGSEGV"}`: a song of 3 s sends the own engine's process this signal.

SIGUSR1 makes the processor write the stacks of its threads to standard error.
"""

import contextlib
import faulthandler
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from common.observability.health import Check
from processor import run as processor
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig, Installed, Separation, StemFile
from processor.engine.room import EngineRoom

_MAX_SLEEP_S = 4.0
_HALVES = '{"vocals": 0.5, "instrumental": 0.5}'


@contextlib.contextmanager
def _noted_span() -> Iterator[None]:
    """Notes in ENGINE_SPANS, if it is set, when its body began and ended without an error."""
    began_s = time.time()
    yield
    if path := os.environ.get("ENGINE_SPANS"):
        with open(path, "a") as file:
            file.write(json.dumps([began_s, time.time()]) + "\n")


class StandInEngine:
    """Is always ready, sleeps instead of separating, and writes stems that are known beforehand."""

    busy_s = 0.0
    warm: tuple[str, ...] = ()
    device = "cpu"
    is_outdated = False

    def __init__(self, config: EngineConfig):
        self._sleep_s = float(os.environ.get("ENGINE_SLEEP_S", "0"))
        self._sleep_share = float(os.environ.get("ENGINE_SLEEP_SHARE", "0"))
        self._shares: dict[str, float] = json.loads(os.environ.get("ENGINE_STEM_SHARES", _HALVES))
        self._killing_s = float(os.environ.get("KILLING_SONG_S", "-1"))
        models = config.models if "ENGINE_INSTALLED" in os.environ else ()
        # Their weights are the shares, so the same for all processors of a test.
        digest = hashlib.sha256(json.dumps(self._shares).encode()).hexdigest()
        self.installed = tuple(Installed(name, "stand-in", tuple(self._shares), digest) for name in models)
        self._turn = threading.Lock() if "ENGINE_SPANS" in os.environ else contextlib.nullcontext()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def stems_of(self, model: str) -> tuple[str, ...]:
        return ()

    def state(self) -> Check:
        return Check(True, "stand-in")

    def wait_ready(self, timeout_s: float) -> Check:
        return self.state()

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: Callable[[], None],
        on_progress: Callable[[float], None],
        model: str | None = None,
        floats: bool = False,
    ) -> Separation:
        duration_s = soundfile.info(source).duration
        if round(duration_s) == self._killing_s:
            os.kill(os.getpid(), signal.SIGKILL)
        with self._turn, _noted_span():
            _sleep(max(self._sleep_s, min(self._sleep_share * duration_s, _MAX_SLEEP_S)), check)
            on_progress(0.5)
            return Separation(self._write_stems(source, target_dir), 1.0, model or "stand-in", "cpu")

    def _write_stems(self, source: Path, target_dir: Path) -> dict[str, StemFile]:
        mix, rate = soundfile.read(source, dtype="float32")
        stems = {}
        for name, share in self._shares.items():
            path = target_dir / f"{name}.wav"
            soundfile.write(path, mix * np.float32(share), rate, format="WAV", subtype="PCM_16")
            stems[name] = StemFile(path, len(mix), len(mix) / rate)
        return stems


class NotedEngine(Engine):
    """The product's engine of one model, whose spans are noted."""

    def _run(self, *arguments) -> Separation:
        """The span is the time for which the engine's process has the job, without waiting for a turn."""
        with _noted_span():
            return super()._run(*arguments)


class OwnEngine(EngineRoom):
    """The product's engine, whose spans are noted and whose process some songs kill."""

    def make_engine(self, config: EngineConfig) -> Engine:
        return NotedEngine(config, busy=self._busy)

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: Callable[[], None],
        on_progress: Callable[[float], None],
        model: str | None = None,
        floats: bool = False,
    ) -> Separation:
        signals = json.loads(os.environ.get("DEADLY", "{}"))
        name = signals.get(str(round(soundfile.info(source).duration))) if signals else None

        def on_deadly_progress(fraction: float) -> None:
            on_progress(fraction)
            if name:
                os.kill(self.pid, signal.Signals[name])

        return super().separate(source, target_dir, check, on_deadly_progress, model, floats)


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleeps; `check` may raise to stop the job."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        check()
        time.sleep(0.05)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    is_stand_in = {"ENGINE_SLEEP_S", "ENGINE_SLEEP_SHARE"} & os.environ.keys()
    sys.exit(processor.main(StandInEngine if is_stand_in else OwnEngine))
