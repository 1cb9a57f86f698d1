"""A way out of the engine's network, for the packages that a build installs: HTTP CONNECT alone."""

import contextlib
import select
import socket
import threading

_BYTES = 65536


class Proxy:
    """Listens in the network that it is made in, and connects from the one that `serve` is called in.

    A socket stays in the network of its making, and a thread begins in that of its starter.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Starts to answer. Call it outside of `Engine.network()`."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=_pass_on, args=(client,), daemon=True).start()


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
