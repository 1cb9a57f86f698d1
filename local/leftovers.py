"""Finds and ends the processes of this checkout's stack, even if their supervisor was killed.

Every process of the stack has `UVR_LOCAL_STACK`, the checkout's path, in its environment, and so can be found
after any crash. psutil checks a process's start time before it sends a signal to a pid.
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from local import store

MARKER = "UVR_LOCAL_STACK"

_TICK_S = 0.05
_KILL_PATIENCE_S = 10


def find(root: Path) -> list[psutil.Process]:
    """Returns the running processes of the stack in `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(root) and not _has_ended(process):
                found.append(process)
        except (psutil.Error, OSError):  # another user's process, or one that has just ended
            continue
    return found


def end(root: Path, grace_s: float) -> int:
    """Ends the processes by SIGTERM, or SIGKILL after `grace_s` seconds. Returns how many there were."""
    found = find(root)
    for rank in sorted({_rank(process) for process in found}):
        same = [process for process in found if _rank(process) == rank]
        for process in same:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in _alive_after(same, grace_s):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _alive_after(same, _KILL_PATIENCE_S)
    return len(found)


def _alive_after(processes: Iterable[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """Waits until all have ended, for `patience_s` at most. Returns those that have not."""
    deadline_s = time.monotonic() + patience_s
    while True:
        alive = [process for process in processes if not _has_ended(process)]
        if not alive or time.monotonic() >= deadline_s:
            return alive
        time.sleep(_TICK_S)


def _has_ended(process: psutil.Process) -> bool:
    """Whether it does nothing any more, also where its parent has not asked for its end.

    The init of some containers asks only every few seconds, or never. psutil waits for that.
    """
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def describe(process: psutil.Process) -> str:
    """Returns the process's name and pid."""
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"


def _rank(process: psutil.Process) -> int:
    """Returns the order of ending: supervisor 0, services 1, servers 2.

    The supervisor would restart a program that ends before it.
    """
    try:
        command = process.cmdline()
    except psutil.Error:
        return 1
    if "supervisor.supervisord" in command:
        return 0
    return 2 if "kafka.Kafka" in command or command[:1] == [str(store.WEED)] else 1
