"""Keeps one engine process running: installs the model, starts the child, and replaces a child that ended."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from common.observability.health import Check
from common.waiting import Backoff
from processor import child_process, memory
from processor.child_process import JsonObject
from processor.engine.protocol import EngineConfig

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 300.0
_INSTALL_TIMEOUT_S = 3600.0
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0
# glibc keeps freed blocks of each thread. The engine's blocks are large and short-lived, so return them.
_CHILD_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    # torch's threads must not spin: they would take the CPU from the threads that they wait for.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TQDM_DISABLE": "1",  # the library's progress bars would fill the log
}


@dataclass(eq=False)
class Running:
    """A child that is ready. `jobs` counts its songs; only the job that has its turn changes the number."""

    process: subprocess.Popen[bytes]
    channel: child_process.Channel
    model: str
    device: str
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
        self._process: subprocess.Popen[bytes] | None = None
        self._reason = "not started"
        self._fetched = not config.fetch_model
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="engine", daemon=True)

    def start(self) -> None:
        """Start the keeper's thread, which starts the child; return at once."""
        self._reason = "starting"
        self._thread.start()

    def stop(self) -> None:
        """Kill the child and end the thread."""
        self._stopping.set()
        if self._process:
            child_process.kill(self._process)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def stopped(self) -> bool:
        """Tell whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def pid(self) -> int | None:
        """The process id of the latest child, ready or not."""
        process = self._process
        return process.pid if process else None

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
                self._not_ready(f"{type(error).__name__}: {error}")
            if running and running.jobs:  # the child worked, so start the next one at once
                backoff.reset()
            else:
                backoff.pause(self._stopping)
        self._decoy.close()

    def _await_end(self, running: Running) -> None:
        oom_kills = memory.OomKills(self._count_oom_kills)
        running.process.wait()
        running.channel.close()
        reason = f"the engine ended: {_how_it_ended(running.process, oom_kills)}"
        if self._forget(running, reason) and not self._stopping.is_set():
            log.warning("%s", reason)

    def _start_child(self) -> Running | None:
        config = self._config
        if not self._fetched and not self._fetch_model():
            return None
        arguments = [*self._model_arguments(), config.output_format]
        started = self._converse("processor.engine.process", arguments, _START_TIMEOUT_S)
        if started is None:
            return None
        process, channel, message = started
        running = Running(process, channel, message["model"], message["device"])
        log.info(
            "engine ready: model %s on device %s, computed by %s in %s",
            running.model, running.device, message["runtime"], message["precision"],
        )  # fmt: skip
        with self._changed:
            self._running = running
            self._changed.notify_all()
        return running

    def _fetch_model(self) -> bool:
        done = self._converse("processor.preparation.process", self._model_arguments(), _INSTALL_TIMEOUT_S)
        if done:
            process, channel, _ = done
            process.wait()
            channel.close()
        self._fetched = done is not None
        return self._fetched

    def _model_arguments(self) -> list[str]:
        config = self._config
        return [config.model_name, str(config.model_dir), config.device, config.precision]

    def _converse(
        self, module: str, arguments: list[str], timeout_s: float
    ) -> tuple[subprocess.Popen[bytes], child_process.Channel, JsonObject] | None:
        """Start a child and wait for its answer; return None, and note why, where it has failed."""
        oom_kills = memory.OomKills(self._count_oom_kills)
        try:
            process, channel = child_process.spawn(module, arguments, _CHILD_ENVIRONMENT)
        except OSError as error:
            self._not_ready(f"cannot start a process: {error}")
            return None
        self._process = process
        if self._stopping.is_set():  # stop() may have run before this child existed
            child_process.kill(process)
        try:
            message = self._answer(channel, timeout_s)
        except child_process.ChannelClosed:
            process.wait()
            message = {"reason": f"it died while starting: {_how_it_ended(process, oom_kills)}"}
        if "reason" not in message:
            return process, channel, message
        child_process.kill(process)
        channel.close()
        self._not_ready(message["reason"])
        return None

    def _answer(self, channel: child_process.Channel, timeout_s: float) -> JsonObject:
        """Return the child's first message that is not progress, or a reason. Raises ChannelClosed."""
        deadline_s = time.monotonic() + timeout_s
        while message := channel.receive(max(0.0, deadline_s - time.monotonic())):
            if message["event"] != "progress":
                return message
            log.info("%s", message["detail"])
            with self._changed:
                self._reason = message["detail"]
        return {"reason": f"no answer in {timeout_s:g} s"}

    def _not_ready(self, reason: str) -> None:
        if not self._stopping.is_set():
            log.error("the engine is not ready: %s", reason)
        with self._changed:
            self._reason = reason


def _how_it_ended(process: subprocess.Popen[bytes], oom_kills: memory.OomKills) -> str:
    how = child_process.how_it_ended(process.returncode)
    ran_out = child_process.was_killed(process.returncode) and oom_kills.struck()
    return f"{how}, memory ran out" if ran_out else how
