"""Separates songs with one model in one warm child process, which works for one job at a time.

The child may be killed at any time (cancel, deadline) and may crash (a segfault, the out-of-memory killer).
Then the job gets a typed error, its partial files are removed, and a new child loads the model.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common.errors import CrashError, ErrorCode, PermanentError, TransientError
from common.observability.health import Check
from common.waiting import StopCheck
from processor import child_process, memory
from processor.audio.wav import SAMPLE_RATE
from processor.child_process import JsonObject
from processor.engine.busy_clock import BusyClock
from processor.engine.fifo_turns import FifoTurns
from processor.engine.keeper import Keeper, Running
from processor.engine.protocol import Computed, EngineConfig, Installed, Separation, StemFile
from processor.engine.starter import Failure
from processor.separation.loaded_model import Residual

_TICK_S = 0.05
# 1 s: a child that stops by itself in time keeps its loaded model; a slower one is killed.
_CANCEL_GRACE_S = 1.0
_RESTART_TIMEOUT_S = 120.0
_OUT_OF_MEMORY = (
    "Memory ran out, and the kernel ended the engine while it was separating: give the processor more memory "
    "(mem_limit in Docker Compose), or choose a smaller MODEL_NAME"
)


class Engine:
    """Owns the child process. Thread-safe: one call of `separate` works at a time, and others wait in order.

    `count_oom_kills` is `memory.kill_count`, or a stand-in of a test. Engines that share a `busy` clock must
    work in turn.
    """

    def __init__(
        self,
        config: EngineConfig,
        count_oom_kills: Callable[[], int | None] = memory.kill_count,
        busy: BusyClock | None = None,
    ):
        self._config = config
        self._count_oom_kills = count_oom_kills
        self._keeper = Keeper(config, count_oom_kills)
        self._turns = FifoTurns()
        self._busy = busy or BusyClock()

    def start(self) -> None:
        """Start the child, which loads its model in the background; return at once."""
        self._keeper.start()

    def state(self) -> Check:
        """Return whether the engine is ready; the detail has model and device, or why it is not ready."""
        return self._keeper.state()

    def wait_ready(self, timeout_s: float) -> Check:
        """Wait until the engine is ready, at most `timeout_s`; return its state."""
        self._keeper.running(timeout_s)
        return self.state()

    @property
    def failure(self) -> Failure | None:
        """Why the last child did not start; None while the first one starts, and once one is ready."""
        return self._keeper.failure

    @property
    def installed(self) -> tuple[Installed, ...]:
        """The models that this engine has installed so far."""
        return self._keeper.installed

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._keeper.pid

    @property
    def busy_s(self) -> float:
        """The seconds that the engine has worked so far, including the song under way and no waiting."""
        return self._busy.seconds

    def stop(self) -> None:
        """Kill the child; a running job gets a TransientError."""
        self._keeper.stop()

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
        model: str | None = None,
        floats: bool = False,
    ) -> Separation:
        """Separate one song; see SeparationEngine. The engine has one model, which `model` may name."""
        request: JsonObject = {"do": "separate", "source": str(source), "target_dir": str(target_dir)}
        if floats:
            request["format"] = "float"
        with self._turns.turn(check):
            running = self._await_running(check)
            running.jobs += 1
            before = set(target_dir.iterdir())
            try:
                with self._busy.working():
                    began_s = time.monotonic()
                    separation = self._run(running, request, check, on_progress)
                    return replace(separation, took_s=time.monotonic() - began_s)
            except BaseException:
                for path in set(target_dir.iterdir()) - before:
                    path.unlink(missing_ok=True)
                raise
            finally:
                if running.jobs >= self._config.max_jobs:
                    self._keeper.discard(running, f"recycled after {running.jobs} jobs")

    def _await_running(self, check: StopCheck) -> Running:
        deadline = time.monotonic() + _RESTART_TIMEOUT_S
        while time.monotonic() < deadline and not self._keeper.stopped:
            check()
            if running := self._keeper.running(_TICK_S):
                return running
        raise TransientError(ErrorCode.ENGINE_UNAVAILABLE, f"The engine is not ready: {self.state().detail}")

    def _run(
        self,
        running: Running,
        request: JsonObject,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Separation:
        oom_kills = memory.OomKills(self._count_oom_kills)
        try:
            running.channel.send(request)
            message = self._await_answer(running.channel, check, on_progress)
        except child_process.ChannelClosed:
            raise _crash(running, oom_kills) from None
        except BaseException:  # the child must stop its work whatever has stopped the job
            self._cancel(running)
            raise
        if message["event"] == "done":
            return _separation(running, message)
        error = _job_error(message)
        if error.code == ErrorCode.OUT_OF_MEMORY:  # the child may never free its memory
            self._keeper.discard(running, "out of memory")
        raise error

    def _await_answer(
        self, channel: child_process.Channel, check: StopCheck, on_progress: Callable[[float], None]
    ) -> JsonObject:
        deadline = time.monotonic() + self._config.job_timeout_s
        while time.monotonic() < deadline:
            check()
            message = channel.receive(_TICK_S)
            if message is None:
                continue
            if message["event"] != "progress":
                return message
            on_progress(message["fraction"])
        raise TransientError(
            ErrorCode.ENGINE_TIMEOUT, f"Separation took over {self._config.job_timeout_s:g} s"
        )

    def _cancel(self, running: Running) -> None:
        """Stop the child's work on this job: ask it to stop, then kill it."""
        deadline = time.monotonic() + _CANCEL_GRACE_S
        try:
            running.channel.send({"do": "cancel"})
            while time.monotonic() < deadline:
                message = running.channel.receive(_TICK_S)
                if message and message["event"] != "progress":
                    return
        except child_process.ChannelClosed:
            pass
        self._keeper.discard(running, "a job was stopped")


def _separation(running: Running, message: JsonObject) -> Separation:
    frames = message["frames"]
    stems = {
        name: StemFile(Path(path), frames, frames / SAMPLE_RATE) for name, path in message["stems"].items()
    }
    residual = Residual(**message["residual"]) if message.get("residual") else None
    return Separation(
        stems,
        message["gain"],
        running.model,
        running.device,
        computed=Computed(**message["computed"], sha256=running.sha256),
        residual=residual,
    )


def _job_error(message: JsonObject) -> PermanentError | TransientError:
    kind = PermanentError if message["permanent"] else TransientError
    return kind(ErrorCode(message["code"]), message["message"])


def _crash(running: Running, oom_kills: memory.OomKills) -> CrashError | TransientError:
    running.process.wait()
    how = child_process.how_it_ended(running.process.returncode)
    if child_process.was_killed(running.process.returncode):
        if oom_kills.struck():
            return TransientError(ErrorCode.OUT_OF_MEMORY, _OUT_OF_MEMORY)
        if oom_kills.struck() is None:
            how += " (perhaps for lack of memory)"
    return CrashError(ErrorCode.ENGINE_CRASHED, f"The engine died while separating: {how}")
