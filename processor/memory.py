"""Steers the kernel's out-of-memory killer to child processes, and tells whether it has killed one."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

_SCORE = Path("/proc/self/oom_score_adj")
_HIGHEST = "1000"
_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")


def go_first() -> None:
    """Make this process the out-of-memory killer's first victim, so that its parent survives and reports it.

    Small children call this too. The kernel may kill a second process before the first one's memory is free,
    and would otherwise choose the parent.
    """
    with contextlib.suppress(OSError):  # /proc may be read-only
        _SCORE.write_text(_HIGHEST)


def kill_count() -> int | None:
    """Return how many processes of our control group were killed for lack of memory.

    Without a control group the count is the whole machine's. Returns None where the kernel has no count.
    """
    return count_in(_counters(os.fsdecode(_MEMBERSHIP.read_bytes()), _GROUPS))


def count_in(files: Iterator[Path]) -> int | None:
    """Return the number in the `oom_kill` line of the first of `files` that has such a line."""
    for file in files:
        with contextlib.suppress(OSError):
            found = _oom_kill_line(file.read_text())
            if found is not None:
                return found
    return None


def _oom_kill_line(text: str) -> int | None:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None


def _counters(membership: str, groups: Path) -> Iterator[Path]:
    """Yield the files that may hold the count; `membership` is the text of /proc/self/cgroup.

    A container sees its own group at the root of the mount, whatever path `membership` gives.
    """
    # Cut at LF alone: str.splitlines would cut a group's name at U+2028 or U+0085.
    for line in filter(None, membership.split("\n")):
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            yield groups / path.lstrip("/") / "memory.events"
            yield groups / "memory.events"
        elif "memory" in controllers.split(","):
            yield groups / "memory" / path.lstrip("/") / "memory.oom_control"
            yield groups / "memory" / "memory.oom_control"
    yield _MACHINE


class Decoy:
    """A small process that the kernel kills second, in place of the worker.

    The kernel may choose a second victim while the first, the engine, is still freeing its memory. The decoy
    ends with the worker, because its standard input closes then.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Start the decoy unless it runs already."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        with contextlib.suppress(OSError):  # no `cat`, or no process can start: work without a decoy
            # Without our environment, which holds secrets: whoever is of our user can read it in /proc.
            self._process = subprocess.Popen(
                ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={}
            )
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_HIGHEST)

    @property
    def pid(self) -> int | None:
        """The decoy's process id, while there is one."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the decoy and wait for its end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None


class OomKills:
    """Tells whether the out-of-memory killer has struck since this object was created.

    `count` is `kill_count`, or a stand-in of a test.
    """

    def __init__(self, count: Callable[[], int | None]):
        self._count = count
        self._before = count()

    def struck(self) -> bool | None:
        """Return whether a process was killed; None where the kernel has no count."""
        now = self._count()
        return None if now is None or self._before is None else now > self._before
