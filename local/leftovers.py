"""Processes of this checkout's stack, also those whose supervisor was killed.

Every process of the stack carries `UVR_LOCAL_STACK`, the checkout's path, in its environment. That finds
them after any crash, restarts included; psutil checks the start time before it signals a pid.
"""

import contextlib
from pathlib import Path

import psutil

from local import store

MARKER = "UVR_LOCAL_STACK"


def find(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    return found


def end(root: Path, grace_s: float) -> int:
    """SIGTERM, SIGKILL after `grace_s`: supervisor, services, servers. Returns how many there were."""
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
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"


def _rank(process: psutil.Process) -> int:
    """What must end before what: the supervisor would start again what ends before it."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return 1
    if "supervisor.supervisord" in command:
        return 0
    return 2 if "kafka.Kafka" in command or command[:1] == [str(store.WEED)] else 1
