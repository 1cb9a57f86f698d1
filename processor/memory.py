"""The kernel's out-of-memory killer: which process it takes first, and whether it has struck."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

_SCORE = Path("/proc/self/oom_score_adj")
_HIGHEST = "1000"
_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")


def go_first() -> None:
    """Has this process killed when memory runs out, before its parent, which then says so and goes on.

    Every child does so, the small ones too: the kernel may want a second victim before the first one's memory
    is free again, and would take the parent.
    """
    with contextlib.suppress(OSError):  # such as where /proc cannot be written to
        _SCORE.write_text(_HIGHEST)


def kill_count() -> int | None:
    """How many processes of our control group (without one: of the machine) were killed for want of memory.

    None where the kernel does not tell.
    """
    return count_in(_counters(_MEMBERSHIP.read_text(), _GROUPS))


def count_in(files: Iterator[Path]) -> int | None:
    """The number in the `oom_kill` line of the first of `files` that has one."""
    for file in files:
        with contextlib.suppress(OSError):
            for line in file.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _counters(membership: str, groups: Path) -> Iterator[Path]:
    """The files that may have the count, by the lines of /proc/self/cgroup.

    A container sees its own group as the root of the mount, whatever path those lines give.
    """
    for line in membership.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            yield groups / path.lstrip("/") / "memory.events"
            yield groups / "memory.events"
        elif "memory" in controllers.split(","):
            yield groups / "memory" / path.lstrip("/") / "memory.oom_control"
            yield groups / "memory" / "memory.oom_control"
    yield _MACHINE


class Decoy:
    """A small process for the kernel to kill second.

    The kernel may look for another victim while the first one, the engine, still gives its memory back, and
    would take the worker. The decoy ends with us, when its standard input closes.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Starts it where it does not run, or no longer."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        with contextlib.suppress(OSError):  # a machine without cat, or without room for a process, goes on
            self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_HIGHEST)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None


class OomKills:
    """Whether the killer has struck since this was made. `count` is `kill_count`; tests put in others."""

    def __init__(self, count: Callable[[], int | None]):
        self._count = count
        self._before = count()

    def struck(self) -> bool | None:
        """None where the kernel does not tell."""
        now = self._count()
        return None if now is None or self._before is None else now > self._before
