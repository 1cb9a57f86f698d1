"""Cuts a connection off when its client takes nothing of what was written to it."""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

# Within the deadline a client has to take this much, or all that is left. Small steps add up in the kernel's
# buffers, so that a slow reader seems to take some tens of KB at a time.
_LEAST_STEP_BYTES = 4096
_LOOKS_IN_A_DEADLINE = 3
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class WatchedTransport:
    """A transport that ends itself, and drops what was not taken, after `deadline_s` without progress.

    This holds for every answer, even the last one before a close, which would otherwise wait for ever.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
        on_stall: Callable[[], None],
        on_step: Callable[[], None],
    ):
        """`on_step` is called when some was taken, `on_stall` when the connection is cut off."""
        self._transport, self._loop, self._deadline_s = transport, loop, deadline_s
        self._on_stall, self._on_step = on_stall, on_step
        self._written = self._taken = self._due = 0
        self._stepped_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._holds_next, self._held = False, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def hold_next(self) -> None:
        """Keep what is written next until more is written, but at most for this turn of the event loop.

        A client then gets a head and its body at once. Sending costs as much as all of an answer's headers.
        """
        self._holds_next = True
        self._loop.call_soon(self._let_go)

    def write(self, data: bytes) -> None:
        if self._holds_next:
            self._holds_next, self._held = False, data
            return
        if self._held:
            data, self._held = self._held + data, b""
        if self._timer is None and data:
            self._begin(len(data))
        self._written += len(data)
        self._transport.write(data)

    def close(self) -> None:
        self._let_go()
        self._transport.close()

    def cut(self) -> None:
        """End the connection at once, with what the kernel still holds of it: nobody would take it."""
        self.unwatch()
        if not self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self) -> None:
        self._holds_next = False
        if self._held and not self._transport.is_closing():
            self.write(b"")

    @property
    def _socket(self) -> Any:
        return self._transport.get_extra_info("socket")

    @property
    def _left(self) -> int:
        """The bytes that the client has not acknowledged, here and in the kernel."""
        return self._transport.get_write_buffer_size() + _in_kernel(self._socket.fileno())

    def _begin(self, length: int) -> None:
        self._taken, self._due = self._written, min(length, _LEAST_STEP_BYTES)
        self._stepped_s = self._loop.time()
        self._look_later()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._deadline_s / _LOOKS_IN_A_DEADLINE, self._look)

    def _look(self) -> None:
        self._timer = None
        left = self._left
        if not left:
            return
        if self._written - left - self._taken >= self._due:
            self._taken, self._due = self._written - left, min(left, _LEAST_STEP_BYTES)
            self._stepped_s = self._loop.time()
            self._on_step()
        elif self._loop.time() - self._stepped_s >= self._deadline_s:
            self._on_stall()
            self.cut()
            return
        self._look_later()


def _in_kernel(descriptor: int) -> int:
    if descriptor < 0:
        return 0
    unsent: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return unsent
