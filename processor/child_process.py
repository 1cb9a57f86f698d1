"""Spawns the processor's child processes, which talk to it by a channel and never outlive it.

A child is a fresh interpreter, because forking a process with threads is unsafe, or the fork of one that has
none (see processor.fork_server). The child ends when its end of a socket pair closes, which happens however
the processor ends. The kernel's parent-death signal also ends a child whose reading thread cannot run.
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from processor import memory

JsonObject = dict[str, Any]

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_ROOT = Path(__file__).resolve().parent.parent
_MAX_MESSAGE_BYTES = 1 << 20
# Settings are read in any case of letters. A *_FILE setting names the file of a secret.
_SECRET_NAME = re.compile("PASSWORD|SECRET|TOKEN|KEY|^AWS_", re.IGNORECASE)
# For children that read or write one song: that is serial, and each thread of a numeric library takes memory.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class ChannelClosed(Exception):
    """The other process has ended or closed its end of the channel."""


class Channel:
    """One end of a socket pair that carries one JSON object per line, both ways.

    Several threads may send; one thread receives.
    """

    def __init__(self, end: socket.socket):
        self._socket = end
        self._buffer = b""
        self._write_lock = threading.Lock()

    def send(self, message: JsonObject, descriptors: Sequence[int] = ()) -> None:
        """Send one message, and copies of `descriptors` with its first byte. Raises ChannelClosed."""
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._write_lock:
                sent = socket.send_fds(self._socket, [line], descriptors) if descriptors else 0
                self._socket.sendall(line[sent:])
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout_s: float | None = None) -> JsonObject | None:
        """Return the next message; None when none came within `timeout_s`. Raises ChannelClosed.

        Without `timeout_s` waits until a message comes.
        """
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
        return cast(JsonObject, json.loads(line))

    def close(self) -> None:
        self._socket.close()


class Child(Protocol):
    """A child process: what is used of `subprocess.Popen`."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None until its end was seen."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the child runs."""

    def wait(self) -> int:
        """Wait for the child's end, and return the exit code."""

    def kill(self) -> None:
        """Send SIGKILL."""


# Starts the child of a module with arguments, and a channel to it. Raises OSError.
Spawn = Callable[[str, list[str]], tuple[Child, Channel]]


def spawn_for_song(module: str, arguments: list[str]) -> tuple[Child, Channel]:
    """Start a fresh interpreter that serves one song; see `spawn`. Raises OSError."""
    return spawn(module, arguments, ONE_THREAD)


def spawn(
    module: str, arguments: list[str], environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Channel]:
    """Start `python -m module ARGUMENTS` with a channel to it. Raises OSError.

    The child gets our environment without variables whose names look like secrets, plus `environment`.
    The calling thread must live as long as the child may: the kernel kills the child when that thread ends.
    """
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=2,  # libraries print; only standard error goes to a log
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
    """Return the child's channel and its own arguments. Call this first in a child, before slow imports."""
    end, own = attach_socket(arguments)
    return Channel(end), own


def attach_socket(arguments: list[str]) -> tuple[socket.socket, list[str]]:
    """Do as `attach`, and return the channel's bare socket."""
    descriptor, parent = int(arguments[0]), int(arguments[1])
    # Ignore signals to the whole process group (Ctrl-C, a supervisor): the parent may let the job finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    memory.go_first()
    if os.getppid() != parent:  # the parent died before `prctl` took effect
        os._exit(1)
    return socket.socket(fileno=descriptor), arguments[2:]


def name_after(module: str) -> None:
    """Let `ps` and `top` show the module's name, as far as the kernel keeps it: 15 bytes."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, module.rpartition(".")[2].encode(), 0, 0, 0)


def serve(channel: Channel, on_message: Callable[[JsonObject], None]) -> None:
    """Read messages in a thread of their own; end the process at once when the parent is gone."""

    def read() -> None:
        try:
            while (message := channel.receive()) is not None:
                on_message(message)
        except ChannelClosed:
            pass
        os._exit(0)

    threading.Thread(target=read, name="channel", daemon=True).start()


def kill(process: Child) -> None:
    """Send SIGKILL and wait until the process is gone."""
    if process.poll() is None:
        process.kill()
    process.wait()


def was_killed(returncode: int) -> bool:
    """Tell whether SIGKILL ended the process: from us, an operator or the out-of-memory killer."""
    return returncode == -signal.SIGKILL


def how_it_ended(returncode: int) -> str:
    """Return the end of a process in words, such as `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
