"""Finds and ends the processes of this checkout's stack, even if their supervisor was killed.

Every process of the stack has `UVR_LOCAL_STACK`, the checkout's path, in its environment, and so can be found
after any crash. psutil checks a process's start time before it sends a signal to a pid.
"""

import contextlib
from pathlib import Path

import psutil

from local import store

MARKER = "UVR_LOCAL_STACK"


def find(root: Path) -> list[psutil.Process]:
    """Returns the running processes of the stack in `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
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
        _, alive = psutil.wait_procs(same, timeout=grace_s)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=10)
    return len(found)


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
