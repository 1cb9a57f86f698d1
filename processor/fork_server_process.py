"""Forks the children of songs for the processor, and tells it their ends; see `processor.fork_server`.

A request is a line of JSON. {"fork": NUMBER, "module", "arguments"} comes with two descriptors: the child's
end of its channel, and a pipe for its exit code. {"kill": NUMBER} ends a child.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from processor import child_process
from processor.child_process import JsonObject

_READ_BYTES = 65536
_DESCRIPTORS = 2

Main = Callable[[list[str]], None]


def main(arguments: list[str]) -> None:
    """Serve until the processor ends. Each fork runs the main function of its module instead."""
    requests, _ = child_process.attach_socket(arguments)
    mains = _load()
    gc.freeze()  # a child's garbage collection would copy all these objects by writing to them
    start = _Server(requests).serve()
    child_process.name_after(start.module)  # its command line is the server's
    mains[start.module](start.arguments)


def _load() -> Mapping[str, Main]:
    """Import what children run, and what they import in a function; return their main functions."""
    from processor.audio import decode, decoder_process, song_tags, window  # noqa: F401
    from processor.output import process, writing, writing_job  # noqa: F401

    return {module.__name__: module.main for module in (decoder_process, process)}


@dataclass(frozen=True)
class _Start:
    module: str
    arguments: list[str]


@dataclass(frozen=True)
class _Running:
    """A child that has not ended. `told` is the pipe for its exit code."""

    number: int
    told: int


class _Server:
    """Forks. It has one thread: others would not be forked, and locks that they hold would stay held."""

    def __init__(self, requests: socket.socket):
        self._requests = requests
        self._buffer = b""
        self._descriptors: list[int] = []
        self._running: dict[int, _Running] = {}  # by process id
        self._pid = os.getpid()
        self._ended, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._woken = woken

    def serve(self) -> _Start:
        """Serve until the processor ends. Returns in each child alone, with what is to be run there."""
        while True:
            requests = self._requests.fileno()
            readable, _, _ = select.select([requests, self._ended], [], [])
            if self._ended in readable:
                os.read(self._ended, _READ_BYTES)
                self._tell_ends()
            if requests in readable and (start := self._take_requests()):
                return start

    def _tell_ends(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._tell(self._running.pop(pid).told, os.waitstatus_to_exitcode(status))

    def _tell(self, told: int, code: int) -> None:
        with suppress(BrokenPipeError):  # nobody is interested
            os.write(told, str(code).encode())
        os.close(told)

    def _take_requests(self) -> _Start | None:
        """Return what is to be run in a child, and None in the server."""
        data, descriptors, _, _ = socket.recv_fds(self._requests, _READ_BYTES, _DESCRIPTORS)
        if not data:  # the processor has ended: with this process the kernel ends its children
            os._exit(0)
        self._buffer += data
        self._descriptors += descriptors
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if start := self._do(json.loads(line)):
                return start
        return None

    def _do(self, request: JsonObject) -> _Start | None:
        if "kill" in request:
            for pid, child in self._running.items():
                if child.number == request["kill"]:
                    os.kill(pid, signal.SIGKILL)
            return None
        channel, told = self._descriptors[:_DESCRIPTORS]
        del self._descriptors[:_DESCRIPTORS]
        try:
            pid = os.fork()
        except OSError as error:
            print(f"fork server: cannot fork: {error}", file=sys.stderr, flush=True)
            self._tell(told, 1)
        else:
            if not pid:
                self._close(told)
                return _Start(request["module"], [str(channel), str(self._pid), *request["arguments"]])
            self._running[pid] = _Running(request["fork"], told)
        os.close(channel)
        return None

    def _close(self, told: int) -> None:
        """Let go, in a child, of what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        for descriptor in (self._ended, self._woken, told, *(child.told for child in self._running.values())):
            os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
