"""Keeps several models warm, each in an engine of its own, and lets one song at a time use the device."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common.errors import ErrorCode, PermanentError, TransientError, UnlikelyError
from common.observability.health import Check
from common.waiting import StopCheck
from processor import memory
from processor.engine.busy_clock import BusyClock
from processor.engine.engine import Engine
from processor.engine.fifo_turns import FifoTurns, WarmFirst
from processor.engine.protocol import EngineConfig, Installed, Separation
from processor.engine.starter import Failure
from processor.models import names
from processor.models.names import UnknownModel

log = logging.getLogger(__name__)

_TICK_S = 0.05
# Longer than the keeper waits for its child, so that the keeper gives the reason.
_LOAD_TIMEOUT_S = 330.0


class EngineRoom:
    """Owns an engine for each warm model, at most `config.warm_models` of them. Thread-safe.

    The default model's engine is there from the start. The engine that was used least recently ends when
    another model is needed, or when memory runs out. `count_oom_kills` is `memory.kill_count`, or a
    stand-in of a test.
    """

    def __init__(self, config: EngineConfig, count_oom_kills: Callable[[], int | None] = memory.kill_count):
        self._config, self._count_oom_kills = config, count_oom_kills
        self._busy = BusyClock()
        self._default = config.model_name
        self._turns = FifoTurns(WarmFirst(self._is_warm))
        self._installer = self._latest = self.make_engine(config)
        # Only the job that has the turn changes `_engines`, under the lock. They are in the order of use.
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {self._default: self._installer}
        self._loading: str | None = None
        self._stopped = False

    def make_engine(self, config: EngineConfig) -> Engine:
        """Return a new engine that is not started."""
        return Engine(config, self._count_oom_kills, self._busy)

    def start(self) -> None:
        """Start the default engine, which installs all models and loads its own; return at once."""
        self._installer.start()

    def state(self) -> Check:
        """Return whether an engine is ready; the detail has the warm models, or why there is none.

        A processor that changes from one model to another is ready. One with an outdated model is not.
        """
        if outdated := self._outdated():
            return Check(False, outdated)
        ready = [state.detail for engine in self._known().values() if (state := engine.state()).ok]
        if not ready and self._loading:
            return Check(True, f"loading {self._loading}")
        return Check(True, ", ".join(ready)) if ready else self._latest.state()

    @property
    def is_outdated(self) -> bool:
        """Tell whether a model was changed after its installation: what is known of its stems is wrong."""
        return self._outdated() is not None

    def _outdated(self) -> str | None:
        failures = (engine.failure for engine in self._known().values())
        return next((failure.reason for failure in failures if failure and failure.is_changed), None)

    def wait_ready(self, timeout_s: float) -> Check:
        """Wait until an engine is ready, at most `timeout_s`; return the state."""
        self._latest.wait_ready(timeout_s)
        return self.state()

    @property
    def pid(self) -> int | None:
        """The process id of the engine that was used last, while there is one."""
        return self._latest.pid

    @property
    def busy_s(self) -> float:
        """The seconds that the engines have worked so far, including the song under way and no waiting."""
        return self._busy.seconds

    @property
    def warm(self) -> tuple[str, ...]:
        """The models that are loaded and ready, in the order of their last use."""
        return tuple(model for model, engine in self._known().items() if engine.state().ok)

    @property
    def installed(self) -> tuple[Installed, ...]:
        """The models that were installed at the start."""
        return self._installer.installed

    @property
    def device(self) -> str:
        """The device that computes, for people."""
        return next((found.machine for found in self.installed if found.machine), self._config.device)

    def stems_of(self, model: str) -> tuple[str, ...]:
        """Return the stems that the model gives; () where it is not installed yet."""
        return next((found.stems for found in self.installed if found.name == model), ())

    def stop(self) -> None:
        """Kill all children; a running job gets a TransientError."""
        with self._lock:
            self._stopped = True
        for engine in self._known().values():
            engine.stop()

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
        model: str | None = None,
        floats: bool = False,
    ) -> Separation:
        """Separate one song; see SeparationEngine."""
        name = self._name(model)

        def run() -> Separation:
            engine = self._ready_engine(name, check)
            return engine.separate(source, target_dir, check, on_progress, floats=floats)

        with self._turns.turn(check, name):
            try:
                return run()
            except TransientError as error:
                if error.code != ErrorCode.OUT_OF_MEMORY or not self._end_another(name, "memory ran out"):
                    raise
            return run()

    def _name(self, model: str | None) -> str:
        if model is None:
            return self._default
        try:
            return names.find(model, self._config.models)
        except UnknownModel as error:
            raise PermanentError(ErrorCode.MODEL_UNKNOWN, str(error)) from None

    def _is_warm(self, model: str) -> bool:
        return model in self._known()

    def _known(self) -> dict[str, Engine]:
        with self._lock:
            return dict(self._engines)

    # The methods from here on run in the turn of a job.

    def _ready_engine(self, model: str, check: StopCheck) -> Engine:
        """Return the model's engine, as the one that was used last, after loading the model if needed."""
        engine = self._known().get(model)
        if engine is None:
            self._loading = model
            while len(self._known()) >= self._config.warm_models:
                self._end_another(model, f"{model} is needed")
            engine = self._start(model)
        else:
            self._use(model, engine)
        try:
            self._await(model, engine, check)
        finally:
            self._loading = None
        return engine

    def _start(self, model: str) -> Engine:
        log.info("loading the model %s", model)
        digests = next((found.digests for found in self.installed if found.name == model), None)
        config = replace(self._config, model_name=model, more_models=(), fetch_model=False, digests=digests)
        engine = self.make_engine(config)
        engine.start()
        self._use(model, engine)
        if self._stopped:  # stop() may have run before this engine was known
            engine.stop()
        return engine

    def _use(self, model: str, engine: Engine) -> None:
        with self._lock:
            self._engines.pop(model, None)
            self._engines[model] = self._latest = engine

    def _await(self, model: str, engine: Engine, check: StopCheck) -> None:
        """Wait until the engine is ready. Ends the engine, and raises, where the model cannot be loaded."""
        end_s = time.monotonic() + _LOAD_TIMEOUT_S
        while not engine.wait_ready(_TICK_S).ok and not self._stopped and time.monotonic() < end_s:
            check()  # a job that is called off leaves the model loading, for the next one
            if failure := engine.failure:
                if failure.is_changed:  # its keeper goes on trying: the change may be taken back
                    raise TransientError(
                        ErrorCode.ENGINE_UNAVAILABLE, f"The engine is not ready: {failure.reason}"
                    )
                if model == self._default and not failure.out_of_memory:
                    return  # its keeper goes on trying, and the readiness says what is wrong
                self._end(model, failure.reason)
                if not self._known():
                    self._start(self._default)
                raise _load_error(model, failure)

    def _end_another(self, model: str, why: str) -> bool:
        """End the engine that was used least recently, other than that of `model`; return whether one was."""
        other = next((known for known in self._known() if known != model), None)
        if other is None:
            return False
        self._end(other, why)
        return True

    def _end(self, model: str, why: str) -> None:
        log.info("the model %s makes room: %s", model, why)
        with self._lock:
            engine = self._engines.pop(model)
        engine.stop()


def _load_error(model: str, failure: Failure) -> TransientError:
    if failure.out_of_memory:
        reason = f"Memory ran out while the model {model} was loaded: give the processor more memory"
        return TransientError(ErrorCode.OUT_OF_MEMORY, reason)
    return UnlikelyError(ErrorCode.MODEL_UNKNOWN, f"The model {model} cannot be loaded: {failure.reason}")
