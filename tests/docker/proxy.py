"""Lets builds in the engine's network reach the package index: a proxy that supports HTTP CONNECT alone."""

import contextlib
import select
import socket

from tests.support.accept_loop import AcceptLoop

_BYTES = 65536


def proxy() -> AcceptLoop:
    """Returns a proxy that listens in the current network namespace.

    Call `start` outside of `Engine.network()`: connections are made from the namespace of that call.
    """
    return AcceptLoop(_pass_on)


def _pass_on(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError, ValueError):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(_BYTES)
            if not data:
                return
            head += data
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if method != "CONNECT":
            client.sendall(b"HTTP/1.1 405 CONNECT only\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            _copy_both_ways(client, server)


def _copy_both_ways(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    while True:
        for ready in select.select(list(peers), [], [])[0]:
            data = ready.recv(_BYTES)
            if not data:
                return
            peers[ready].sendall(data)
