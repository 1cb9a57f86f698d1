"""A long body is read in large pieces, and never much beyond its end, where other requests may follow."""

import asyncio

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http.protocol import GuardedProtocol

KB = 1024
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def answer_when_all_has_come(scope, receive, send):
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def offered_sizes(head: bytes, body: bytes) -> list[tuple[int, int]]:
    """Sends a request. Returns what had come and how much more the api was ready to read, at each read."""
    offered: list[tuple[int, int]] = []
    config = Config(answer_when_all_has_come, ws="none", log_config=None)
    config.load()
    came = 0

    class Watched(GuardedProtocol):
        def get_buffer(self, sizehint: int) -> memoryview:
            buffer = super().get_buffer(sizehint)
            offered.append((came, len(buffer)))
            return buffer

        def buffer_updated(self, nbytes: int) -> None:
            nonlocal came
            came += nbytes
            super().buffer_updated(nbytes)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Watched(config, ServerState(), {}), "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(head + body)
        assert (await reader.readline()).split()[1] == b"204"
        writer.close()
        server.close()

    asyncio.run(asyncio.wait_for(run(), 20))
    return offered


@pytest.mark.parametrize("length", [100, 300 * KB, 2000 * KB])
def test_a_body_is_read_in_large_pieces_until_its_last_64_kb(length):
    head = HEAD + b"Content-Length: %d\r\n\r\n" % length
    for came, size in offered_sizes(head, bytes(length)):
        left = len(head) + length - came
        if came == 0 or left == 0:
            assert size == 16 * KB
        else:
            assert size == max(64 * KB, min(256 * KB, left))


def test_a_body_of_unknown_length_is_read_in_pieces_of_64_kb():
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    sizes = offered_sizes(head, b"%x\r\n%s\r\n0\r\n\r\n" % (300 * KB, bytes(300 * KB)))
    assert {size for came, size in sizes} <= {16 * KB, 64 * KB}
