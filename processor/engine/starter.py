"""Starts child processes, and waits for the first answer of each."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processor import child_process, memory
from processor.child_process import JsonObject

log = logging.getLogger(__name__)

CHILD_ENVIRONMENT = {
    # glibc keeps freed blocks of each thread. The engine's blocks are large and short-lived, so return them.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    # But use them again first. Beside a set trim threshold glibc maps each block above 128 KB anew, and the
    # kernel fills its pages with zeros: a quarter of spleeter's time. This is glibc's highest.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    # torch's threads must not spin: they would take the CPU from the threads that they wait for.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TQDM_DISABLE": "1",  # the library's progress bars would fill the log
}


@dataclass(frozen=True)
class Failure:
    """Says why a child did not start.

    `out_of_memory`: the kernel ended the child for lack of memory. `is_changed`: the model is another one
    than the installed one.
    """

    reason: str
    out_of_memory: bool = False
    is_changed: bool = False


@dataclass(frozen=True)
class Started:
    """A child that has answered `message`."""

    process: subprocess.Popen[bytes]
    channel: child_process.Channel
    message: JsonObject


class Starter:
    """Starts one child after another, from the one thread that calls `start`; see child_process.spawn.

    `note` gets the progress of a child that starts. Other threads may read `process` and set `stopping`.
    `decision` is the path of the decision that the child makes, if it has begun to prepare a model.
    """

    def __init__(
        self,
        count_oom_kills: Callable[[], int | None],
        stopping: threading.Event,
        note: Callable[[str], None],
    ):
        self._count_oom_kills, self._stopping, self._note = count_oom_kills, stopping, note
        self.process: subprocess.Popen[bytes] | None = None
        self.decision: Path | None = None

    def start(self, module: str, arguments: list[str], timeout_s: float) -> Started | Failure:
        """Start `python -m module`, and wait for its first message that is not progress."""
        oom_kills = memory.OomKills(self._count_oom_kills)
        self.decision = None
        try:
            process, channel = child_process.spawn(module, arguments, CHILD_ENVIRONMENT)
        except OSError as error:
            return Failure(f"cannot start a process: {error}")
        self.process = process
        if self._stopping.is_set():  # the one who stops us may have looked before this child existed
            child_process.kill(process)
        try:
            message = self._answer(channel, timeout_s)
        except child_process.ChannelClosed:
            process.wait()
            how = how_it_ended(process, oom_kills)
            failure = Failure(f"it died while starting: {how}", ran_out_of_memory(process, oom_kills))
        else:
            if "reason" not in message:
                return Started(process, channel, message)
            failure = Failure(message["reason"], message.get("out_of_memory", False))
        child_process.kill(process)
        channel.close()
        return failure

    def _answer(self, channel: child_process.Channel, timeout_s: float) -> JsonObject:
        """Return the child's first message that is not progress, or a reason. Raises ChannelClosed."""
        deadline_s = time.monotonic() + timeout_s
        while message := channel.receive(max(0.0, deadline_s - time.monotonic())):
            if message["event"] != "progress":
                return message
            log.log(logging.WARNING if message.get("warning") else logging.INFO, "%s", message["detail"])
            if begun := message.get("decision"):
                self.decision = Path(begun)
            self._note(message["detail"])
        return {"reason": f"no answer in {timeout_s:g} s"}


def ran_out_of_memory(process: subprocess.Popen[bytes], oom_kills: memory.OomKills) -> bool:
    """Tell whether the kernel has ended the process for lack of memory."""
    return child_process.was_killed(process.returncode) and bool(oom_kills.struck())


def how_it_ended(process: subprocess.Popen[bytes], oom_kills: memory.OomKills) -> str:
    """Return the end of a process in words, with the lack of memory where that was the reason."""
    how = child_process.how_it_ended(process.returncode)
    return f"{how}, memory ran out" if ran_out_of_memory(process, oom_kills) else how
