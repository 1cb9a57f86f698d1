"""The separation engine: one warm child process, lent to one job at a time.

The child may be killed at any time (cancel, deadline) and may die of itself (a segfault, the kernel's
out-of-memory killer): the job gets a typed error, its partial files are removed, and the next child warms.
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
from processor.engine.busy_clock import Busy
from processor.engine.fifo_turns import Turns
from processor.engine.keeper import Keeper, Running
from processor.engine.protocol import EngineConfig, Separation, StemFile

_TICK_S = 0.05
# A child that stops by itself keeps its warm model; longer than this no cancel may take.
_CANCEL_GRACE_S = 1.0
_RESTART_TIMEOUT_S = 120.0
_OUT_OF_MEMORY = (
    "Memory ran out, and the kernel ended the engine while it was separating: give the processor more memory "
    "(mem_limit in Docker Compose), or choose a smaller MODEL_NAME"
)


class Engine:
    """Owns the child. `separate` may be called from several threads: one works, the others queue."""

    def __init__(self, config: EngineConfig, oom_kills: Callable[[], int | None] = memory.kill_count):
        self._config = config
        self._oom_kills = oom_kills
        self._keeper = Keeper(config, oom_kills)
        self._turns = Turns()
        self._busy = Busy()

    def start(self) -> None:
        """Returns at once; the child warms in the background."""
        self._keeper.start()

    def state(self) -> Check:
        """Ready, with model and device as the detail; or why not."""
        return self._keeper.state()

    def wait_ready(self, timeout_s: float) -> Check:
        """Waits until the engine is ready, at most `timeout_s`; what `state` says then."""
        self._keeper.running(timeout_s)
        return self.state()

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._keeper.pid

    @property
    def busy_s(self) -> float:
        """How long it has worked on songs so far, that under way included; waiting is no work."""
        return self._busy.seconds

    def stop(self) -> None:
        """Kills the child; a running job gets a TransientError."""
        self._keeper.stop()

    def separate(
        self, source: Path, target_dir: Path, check: StopCheck, on_progress: Callable[[float], None]
    ) -> Separation:
        """See SeparationEngine."""
        with self._turns.turn(check):
            running = self._await_running(check)
            running.jobs += 1
            before = set(target_dir.iterdir())
            try:
                with self._busy.working():
                    began_s = time.monotonic()
                    separation = self._run(running, source, target_dir, check, on_progress)
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
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Separation:
        request = {"do": "separate", "source": str(source), "target_dir": str(target_dir)}
        watch = memory.Watch(self._oom_kills)
        try:
            running.link.send(request)
            message = self._await_answer(running.link, check, on_progress)
        except child_process.LinkClosed:
            raise _crash(running, watch) from None
        except BaseException:  # whatever stopped the job: the child must not go on with it
            self._cancel(running)
            raise
        if message["event"] == "done":
            return _separation(running, message)
        error = _job_error(message)
        if error.code == ErrorCode.OUT_OF_MEMORY:  # what it holds it may never give back
            self._keeper.discard(running, "out of memory")
        raise error

    def _await_answer(
        self, link: child_process.Link, check: StopCheck, on_progress: Callable[[float], None]
    ) -> dict:
        deadline = time.monotonic() + self._config.job_timeout_s
        while time.monotonic() < deadline:
            check()
            message = link.receive(_TICK_S)
            if message is None:
                continue
            if message["event"] != "progress":
                return message
            on_progress(message["fraction"])
        raise TransientError(
            ErrorCode.ENGINE_TIMEOUT, f"Separation took over {self._config.job_timeout_s:g} s"
        )

    def _cancel(self, running: Running) -> None:
        """Ends the child's work on this job: by its own leave, else by SIGKILL."""
        deadline = time.monotonic() + _CANCEL_GRACE_S
        try:
            running.link.send({"do": "cancel"})
            while time.monotonic() < deadline:
                message = running.link.receive(_TICK_S)
                if message and message["event"] != "progress":
                    return
        except child_process.LinkClosed:
            pass
        self._keeper.discard(running, "a job was stopped")


def _separation(running: Running, message: dict) -> Separation:
    frames = message["frames"]
    stems = {
        name: StemFile(Path(path), frames, frames / SAMPLE_RATE) for name, path in message["stems"].items()
    }
    return Separation(stems, message["gain"], running.model, running.device)


def _job_error(message: dict) -> PermanentError | TransientError:
    kind = PermanentError if message["permanent"] else TransientError
    return kind(ErrorCode(message["code"]), message["message"])


def _crash(running: Running, watch: memory.Watch) -> CrashError | TransientError:
    running.process.wait()
    how = child_process.how_it_ended(running.process.returncode)
    if child_process.was_killed(running.process.returncode):
        if watch.struck():
            return TransientError(ErrorCode.OUT_OF_MEMORY, _OUT_OF_MEMORY)
        if watch.struck() is None:
            how += " (out of memory, perhaps)"
    return CrashError(ErrorCode.ENGINE_CRASHED, f"The engine died while separating: {how}")
