"""Real processes for tests: started with their own log file, ended by pid, never outliving the tests."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from tests.support.waiting import wait_for

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Started(Protocol):
    """What is used of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class ManagedProcess:
    """One command that can be started again after it was killed. Its output goes to `log_file`.

    Start it from the main thread: the kernel kills it when the thread that started it ends.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ):
        self.argv = list(argv)
        self.log_file = log_file
        self.env = dict(env) if env is not None else None
        self.cwd = cwd
        self.process: Started | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        assert self.process is not None, "not started"
        return self.process.poll()

    def start(self) -> None:
        assert self.process is None or self.returncode is not None, "still running"
        with self.log_file.open("ab") as log:
            self.process = self._start(log)

    def _start(self, log: IO[bytes]) -> Started:
        return subprocess.Popen(
            self.argv,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self.env,
            cwd=self.cwd,
            preexec_fn=die_with_parent,
        )

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP, and waits until every thread stands still: one that does not may answer still."""
        self.signal(signal.SIGSTOP)
        wait_for(self.stands_still, 60, f"{self.argv} to stand still")

    def stands_still(self) -> bool:
        """Whether all its threads are stopped, or have ended."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            # One that ends in between is gone.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "TtZX":
                    return False
        return True

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and waits for the end. No error if it has ended already."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s: float = 40) -> int:
        """SIGTERM, and SIGKILL after `timeout_s`. Returns the exit code (negative: a signal's number)."""
        assert self.process is not None, "not started"
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def wait(self, timeout_s: float) -> int:
        """The exit code once it ends by itself. Raises subprocess.TimeoutExpired."""
        assert self.process is not None, "not started"
        return self.process.wait(timeout_s)

    def output(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def die_with_parent() -> None:
    """Makes the kernel kill this process when the thread that started it ends."""
    # Under nohup it is ignored, and a shell cannot trap what was ignored when it started.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def child_named_after(pid: int, module: str) -> int | None:
    """A forked child of a process that runs a module, while there is one; see `child_process.name_after`."""
    with contextlib.suppress(OSError):  # one that has just ended
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                if Path(f"/proc/{child}/comm").read_text().strip() == _short(module):
                    return child
    return None


def _short(module: str) -> str:
    return module.rpartition(".")[2][:15]
