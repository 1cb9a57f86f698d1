"""Starts the short-lived children of songs, as forks of a process that has imported what they run.

A fresh interpreter with its imports costs each song a quarter of a second of CPU. The forks come from a
process without threads (`processor.fork_server_process`), which has no song's data and no secrets.
"""

import itertools
import logging
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO

from common.waiting import Backoff
from processor import child_process
from processor.child_process import Channel, ChannelClosed, Child

log = logging.getLogger(__name__)

MODULE = "processor.fork_server_process"
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0
# A process that was killed is gone at once, unless the disk that it waits for hangs.
_PATIENCE_S = 10.0


class ForkServer:
    """Keeps the process that forks. `spawn` may be called from any thread.

    While there is no such process, children are fresh interpreters. One thread spawns the process and its
    successors, and lives as long as they do: the kernel kills a child when the thread that spawned it ends.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        """A process that does not tell a child's end for `patience_s` hangs, and is killed."""
        self._patience_s = patience_s
        self._stopping = threading.Event()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        # Both are set by the thread, under the lock.
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._thread = threading.Thread(target=self._keep, name="fork-server", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the process; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Kill the process, which ends its children, and end the thread."""
        with self._lock:
            self._stopping.set()
            if self._process:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def pid(self) -> int | None:
        """The process id of the process that forks, while there is one."""
        with self._lock:
            return self._process.pid if self._process else None

    def spawn(self, module: str, arguments: list[str]) -> tuple[Child, Channel]:
        """Start a child of `module`, which the process has imported, with a channel to it. Raises OSError."""
        with self._lock:
            process, server = self._process, self._channel
        with suppress(ChannelClosed):
            if process and server:
                return self._fork(process, server, module, arguments)
        return child_process.spawn_for_song(module, arguments)

    def _fork(
        self, process: subprocess.Popen[bytes], server: Channel, module: str, arguments: list[str]
    ) -> tuple[Child, Channel]:
        """Let the process at the other end of `server` fork. Raises ChannelClosed and OSError."""
        number = next(self._numbers)
        ours, theirs = socket.socketpair()  # first: sockets that nobody holds close by themselves
        status, told = os.pipe()
        kept = os.fdopen(status, "rb", buffering=0)
        try:
            server.send({"fork": number, "module": module, "arguments": arguments}, [theirs.fileno(), told])
        except ChannelClosed:
            ours.close()
            kept.close()
            raise
        finally:
            theirs.close()
            os.close(told)
        ask = partial(server.send, {"kill": number})
        return _Forked(kept, ask, process.kill, self._patience_s), Channel(ours)

    def _keep(self) -> None:
        backoff = Backoff(_MIN_BACKOFF_S, _MAX_BACKOFF_S)
        backoff.keep(self._started, self._await_end, self._stopping, self._failed)

    @contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            process, channel = child_process.spawn(MODULE, [], child_process.ONE_THREAD)
            self._process, self._channel = process, channel
            if self._stopping.is_set():  # since the loop's last look
                process.kill()
        try:
            yield process
        finally:
            with self._lock:
                self._process = self._channel = None
            channel.close()

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        how = child_process.how_it_ended(process.wait())
        if not self._stopping.is_set():
            raise _Ended(f"ended: {how}")

    def _failed(self, error: Exception) -> None:
        why = error if isinstance(error, _Ended) else f"cannot start: {error}"
        log.warning("the fork server %s. Until there is another, songs' children start slowly", why)


class _Ended(Exception):
    """The process that forks has ended, and was to go on."""


class _Forked:
    """A child that was forked for us: its exit code comes through the pipe `status`. For one thread.

    `ask` asks the server to kill it, and `end_server` ends a server that hangs.
    """

    def __init__(
        self, status: BinaryIO, ask: Callable[[], None], end_server: Callable[[], None], patience_s: float
    ):
        self.returncode: int | None = None
        self._status, self._ask = status, ask
        self._end_server, self._patience_s = end_server, patience_s

    def poll(self) -> int | None:
        if self.returncode is None and self._is_told(0):
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Return the exit code of a child that has ended, or was killed."""
        if self.returncode is None:
            if not self._is_told(self._patience_s):
                self._end_server()
            told = self._status.read(16)
            self._status.close()
            # Without a word the fork server was killed, and the kernel killed its children.
            self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode

    def kill(self) -> None:
        # The server sends the signal: it is the parent, so the process id is still the child's.
        with suppress(ChannelClosed):
            self._ask()

    def _is_told(self, timeout_s: float) -> bool:
        return bool(select.select([self._status], [], [], timeout_s)[0])
