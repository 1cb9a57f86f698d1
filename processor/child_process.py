"""What every child process of the processor shares: how it is spawned, and that it never outlives us.

A child is a fresh interpreter, never a fork of a process with threads. It holds one end of a socket pair;
the other end closes with the parent, whatever kills that. The kernel's parent-death signal comes on top,
for a child that is stuck where its watching thread cannot run.
"""

import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from processor import memory

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).resolve().parent.parent
_MAX_MESSAGE_BYTES = 1 << 20
# Settings are read whatever their case, and those of a *_FILE tell where a secret is.
_SECRET_NAME = re.compile("PASSWORD|SECRET|TOKEN|^AWS_", re.IGNORECASE)


class ChannelClosed(Exception):
    """The other process has ended, or closed its end."""


class Channel:
    """One end of a socket pair: a JSON object a line, both ways."""

    def __init__(self, end: socket.socket):
        self._socket = end
        self._buffer = b""
        self._write_lock = threading.Lock()

    def send(self, message: dict) -> None:
        """Raises ChannelClosed."""
        try:
            with self._write_lock:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout_s: float | None = None) -> dict | None:
        """The next message, None when none came in time. Raises ChannelClosed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                if not select.select([self._socket], [], [], left)[0]:
                    return None
                data = self._socket.recv(65536)
            except (OSError, ValueError) as error:
                raise ChannelClosed(str(error)) from None
            if not data or len(self._buffer) > _MAX_MESSAGE_BYTES:
                raise ChannelClosed("closed")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        self._socket.close()


def spawn(
    module: str, arguments: list[str], environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen, Channel]:
    """Starts `python -m module ARGUMENTS` with a channel. Raises OSError.

    It gets our environment without what is named like a secret, and `environment` on top.
    The parent-death signal goes by the thread that calls this: it must live as long as the child may.
    """
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=2,  # libraries print; our own standard output is nobody's log
            pass_fds=[theirs.fileno()],
            env={**_without_secrets(os.environ), "PYTHONPATH": path, **(environment or {})},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, Channel(ours)


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not _SECRET_NAME.search(name)}


def attach(arguments: list[str]) -> tuple[Channel, list[str]]:
    """The child's side, to be called before anything slow: its channel and its own arguments."""
    descriptor, parent = int(arguments[0]), int(arguments[1])
    # A signal to the whole group (Ctrl-C, a supervisor) is for the parent, which may still want the job done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    memory.go_first()
    if os.getppid() != parent:  # it died before the signal was ordered
        os._exit(1)
    return Channel(socket.socket(fileno=descriptor)), arguments[2:]


def serve(channel: Channel, on_message: Callable[[dict], None]) -> None:
    """Reads messages in a thread of its own; the process ends at once when the parent is gone."""

    def read() -> None:
        try:
            while (message := channel.receive()) is not None:
                on_message(message)
        except ChannelClosed:
            pass
        os._exit(0)

    threading.Thread(target=read, name="channel", daemon=True).start()


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, and waits until the process is gone."""
    if process.poll() is None:
        process.kill()
    process.wait()


def was_killed(returncode: int) -> bool:
    """Whether SIGKILL ended it: ours, an operator's, or that of the kernel when memory runs out."""
    return returncode == -signal.SIGKILL


def how_it_ended(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
