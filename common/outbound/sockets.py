"""Sockets whose waits can be ended: they call `stop_check` several times a second.

A socket's own time-out starts afresh with every byte, so a peer that sends a byte each minute holds its
reader for ever. Here every wait is cut into slices. `stop_check`, called between them, ends the wait by
raising, for a deadline or a cancelled job. All of this runs in the caller's thread.
"""

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from common.waiting import StopCheck

SLICE_S = 0.15

T = TypeVar("T")

if TYPE_CHECKING:
    _MixedInto = socket.socket
else:
    _MixedInto = object


class _Interruptible(_MixedInto):
    """Mixed into a socket class. `settimeout` sets how long one operation may wait in all."""

    stop_check: StopCheck
    _limit_s: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._limit_s = value
        super().settimeout(SLICE_S)

    def gettimeout(self) -> float | None:
        return self._limit_s

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        return self._sliced(lambda: super(_Interruptible, self).recv_into(*args, **kwargs))

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._send_some(rest, flags) :]

    def _send_some(self, data: memoryview, flags: int) -> int:
        return self._sliced(lambda: self.send(data, flags))

    def _sliced(self, operation: Callable[[], T]) -> T:
        began_s = time.monotonic()
        while True:
            self.stop_check()
            try:
                return operation()
            except TimeoutError:
                if self._limit_s is not None and time.monotonic() - began_s >= self._limit_s:
                    raise


class InterruptibleSocket(_Interruptible, socket.socket):
    """A TCP socket."""

    def __init__(self, stop_check: StopCheck, family: int):
        super().__init__(family, socket.SOCK_STREAM)
        self.stop_check = stop_check


class _InterruptibleTLSSocket(_Interruptible, ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        self._sliced(lambda: super(_InterruptibleTLSSocket, self).do_handshake(block))


def interrupt_tls(context: ssl.SSLContext, stop_check: StopCheck) -> None:
    """Makes the sockets of `context` interruptible, from their handshake on."""
    # `wrap_socket` makes the object and shakes hands in one call, so `stop_check` must come with the class.
    context.sslsocket_class = type(
        "TLSSocket", (_InterruptibleTLSSocket,), {"stop_check": staticmethod(stop_check)}
    )


def connect(
    addresses: Sequence[str], port: int, timeout_s: float, stop_check: StopCheck
) -> InterruptibleSocket:
    """Connects to the first IP address that answers.

    The addresses share `timeout_s`, so that a first one that leads nowhere leaves time for the next.
    Raises OSError, TimeoutError, and the errors of `stop_check`.
    """
    end_s = time.monotonic() + timeout_s
    failure: OSError = OSError("the name has no address")
    for index, address in enumerate(addresses):
        share_s = (end_s - time.monotonic()) / (len(addresses) - index)
        try:
            return _connect_one(address, port, share_s, stop_check)
        except OSError as error:
            failure = error
    raise failure


def _connect_one(address: str, port: int, timeout_s: float, stop_check: StopCheck) -> InterruptibleSocket:
    sock = InterruptibleSocket(stop_check, socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.setblocking(False)
        _raise_for(sock.connect_ex((address, port)))
        _await_connection(sock, time.monotonic() + timeout_s, stop_check)
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _await_connection(sock: socket.socket, end_s: float, stop_check: StopCheck) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while True:
        stop_check()
        if poll.poll(SLICE_S * 1000):
            break
        if time.monotonic() >= end_s:
            raise TimeoutError("the connection was not made in time")
    _raise_for(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def _raise_for(error: int) -> None:
    if error not in (0, errno.EINPROGRESS):
        raise OSError(error, os.strerror(error))
