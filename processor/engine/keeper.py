"""Keeps one engine process running: installs models, starts the child, and replaces a child that ended."""

import logging
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from common.observability.health import Check
from common.waiting import Backoff
from processor import child_process, memory
from processor.child_process import JsonObject
from processor.engine import starter
from processor.engine.protocol import EngineConfig, Installed
from processor.engine.starter import Failure, Started, Starter
from processor.preparation import decision

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 300.0
_INSTALL_TIMEOUT_S = 3600.0
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0


@dataclass(eq=False)
class Running:
    """A child that is ready. `jobs` counts its songs; only the job that has its turn changes the number."""

    process: subprocess.Popen[bytes]
    channel: child_process.Channel
    model: str
    device: str
    sha256: str | None = None
    jobs: int = 0


class Keeper:
    """Keeps one child running. The other methods may be called from any thread.

    One thread spawns all children and lives as long as the keeper: the kernel kills a child when the thread
    that spawned it ends.
    """

    def __init__(self, config: EngineConfig, count_oom_kills: Callable[[], int | None]):
        self._config = config
        self._count_oom_kills = count_oom_kills
        self._decoy = memory.Decoy()
        self._changed = threading.Condition()
        self._running: Running | None = None
        self._reason = "not started"
        self._failure: Failure | None = None
        self._installed: dict[str, Installed] = {}
        self._stopping = threading.Event()
        self._starter = Starter(count_oom_kills, self._stopping, self._note)
        self._thread = threading.Thread(target=self._keep, name="engine", daemon=True)

    def start(self) -> None:
        """Start the keeper's thread, which starts the child; return at once."""
        self._reason = "starting"
        self._thread.start()

    def stop(self) -> None:
        """Kill the child and end the thread."""
        self._stopping.set()
        if self._starter.process:
            child_process.kill(self._starter.process)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def stopped(self) -> bool:
        """Tell whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def pid(self) -> int | None:
        """The process id of the latest child, ready or not."""
        process = self._starter.process
        return process.pid if process else None

    @property
    def failure(self) -> Failure | None:
        """Why the last child did not start; None while the first one starts, and once one is ready."""
        return self._failure

    @property
    def installed(self) -> tuple[Installed, ...]:
        """The models that were installed so far."""
        with self._changed:
            return tuple(self._installed.values())

    def state(self) -> Check:
        """Return whether a child is ready; the detail has model and device, or why none is ready."""
        with self._changed:
            if self._running:
                return Check(True, f"{self._running.model} on {self._running.device}")
            return Check(False, self._reason)

    def running(self, timeout_s: float) -> Running | None:
        """Return the child that is ready, after at most `timeout_s` of waiting; None without one."""
        with self._changed:
            self._changed.wait_for(self._alive, timeout_s)
            return self._alive()

    def discard(self, running: Running, why: str) -> None:
        """Kill this child; the keeper starts another one. `why` goes to the log."""
        log.info("ending the engine's process %d: %s", running.process.pid, why)
        self._forget(running, "restarting")
        child_process.kill(running.process)

    def _alive(self) -> Running | None:
        found = self._running
        return found if found and found.process.poll() is None else None

    def _forget(self, running: Running, reason: str) -> bool:
        with self._changed:
            if self._running is not running:
                return False
            self._running, self._reason = None, reason
            return True

    # The methods from here on run in the keeper's thread.

    def _keep(self) -> None:
        backoff = Backoff(_MIN_BACKOFF_S, _MAX_BACKOFF_S)
        while not self._stopping.is_set():
            self._decoy.keep()
            try:
                running = self._start_child()
                if running:
                    self._await_end(running)
            except Exception as error:  # noqa: BLE001 (the loop's edge: without this thread there is no engine)
                running = None
                self._not_ready(Failure(f"{type(error).__name__}: {error}"))
            if running and running.jobs:  # the child worked, so start the next one at once
                backoff.reset()
            else:
                backoff.pause(self._stopping)
        self._decoy.close()

    def _await_end(self, running: Running) -> None:
        oom_kills = memory.OomKills(self._count_oom_kills)
        running.process.wait()
        running.channel.close()
        reason = f"the engine ended: {starter.how_it_ended(running.process, oom_kills)}"
        if self._forget(running, reason) and not self._stopping.is_set():
            log.warning("%s", reason)

    def _start_child(self) -> Running | None:
        config = self._config
        if not self._install():
            return None
        arguments = [*self._arguments(config.model_name), config.output_format]
        started = self._start("processor.engine.process", arguments, _START_TIMEOUT_S)
        if started is None:
            return None
        message = started.message
        sha256, _ = digests = tuple(message["digests"])
        if digests != (self._installed_digests() or digests):
            child_process.kill(started.process)
            started.channel.close()
            reason = (
                f"the model {config.model_name} was changed after its installation: restart the processor"
            )
            self._not_ready(Failure(reason, is_changed=True))
            return None
        running = Running(started.process, started.channel, message["model"], message["device"], sha256)
        log.info(
            "engine ready: model %s on device %s, computed by %s in %s",
            running.model, running.device, message["runtime"], message["precision"],
        )  # fmt: skip
        with self._changed:
            self._running, self._failure = running, None
            self._changed.notify_all()
        return running

    def _installed_digests(self) -> tuple[str, str] | None:
        """Return the digests of the model as it was installed; None where no engine has installed it."""
        found = self._installed.get(self._config.model_name)
        return found.digests if found else self._config.digests

    def _install(self) -> bool:
        """Install all models that are not installed yet; return whether all are."""
        wanted = self._config.models if self._config.fetch_model else ()
        for name in wanted:
            if name in self._installed:
                continue
            started = self._start("processor.preparation.process", self._arguments(name), _INSTALL_TIMEOUT_S)
            if started is None:
                self._forget_unfinished()
                return False
            started.process.wait()
            started.channel.close()
            with self._changed:
                self._installed[name] = _installed(name, started.message)
        return True

    def _forget_unfinished(self) -> None:
        """Let the next start prepare the model, if it is we who have ended its preparation by a stop.

        A preparation that memory has ended is not begun again at each start.
        """
        begun = self._starter.decision
        if begun and self._stopping.is_set():
            decision.forget_unfinished(begun)

    def _arguments(self, model: str) -> list[str]:
        config = self._config
        return [model, str(config.model_dir), config.device, config.precision]

    def _start(self, module: str, arguments: list[str], timeout_s: float) -> Started | None:
        """Start a child and wait for its answer; return None, and note why, where it has failed."""
        started = self._starter.start(module, arguments, timeout_s)
        if isinstance(started, Started):
            return started
        self._not_ready(started)
        return None

    def _note(self, detail: str) -> None:
        with self._changed:
            self._reason = detail

    def _not_ready(self, failure: Failure) -> None:
        if not self._stopping.is_set():
            log.error("the engine is not ready: %s", failure.reason)
        with self._changed:
            self._reason, self._failure = failure.reason, failure


def _installed(name: str, message: JsonObject) -> Installed:
    return Installed(**{**message["model"], "name": name, "stems": tuple(message["model"]["stems"])})
