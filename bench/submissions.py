"""Submits songs by several connections at once, with little work of its own beside the measured server."""

import asyncio
import json
import time

from tests.support.api.api_client import SONG, basic

_PATIENCE_S = 300
_BODY = json.dumps(SONG)
_HEADERS = {**basic("admin", "password"), "Content-Type": "application/json", "Content-Length": len(_BODY)}
_HEAD = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())
SUBMISSION = f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1\r\n{_HEAD}\r\n{_BODY}".encode()


def submissions_per_s(port: int, count: int, connections: int) -> float:
    """Submit `count` songs, one after the other on each connection. Return how many were answered a second.

    Raise RuntimeError for an answer that is not 200, and TimeoutError.
    """
    return asyncio.run(_submit(port, count, connections))


async def _submit(port: int, count: int, connections: int) -> float:
    loop = asyncio.get_running_loop()
    shares = [count // connections + (n < count % connections) for n in range(connections)]
    clients = [_Client(share) for share in shares]
    for client in clients:
        await loop.create_connection(lambda made=client: made, "127.0.0.1", port)
    began_s = time.monotonic()
    for client in clients:
        client.begin()
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*(client.over for client in clients))
    return count / (time.monotonic() - began_s)


class _Client(asyncio.Protocol):
    """One connection. `over` is done once `left` submissions are answered."""

    def __init__(self, left: int):
        self._left, self._received = left, b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self._transport = transport

    def begin(self) -> None:
        if self._left:
            self._transport.write(SUBMISSION)
        else:
            self._end(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(self._received.decode()))
            return
        self._left, self._received = self._left - 1, b""
        self.begin()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("the server has closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None) if error is None else self.over.set_exception(error)
        self._transport.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
