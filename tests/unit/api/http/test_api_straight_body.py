"""A body that a route reads straight into its own memory, past h11: what comes, and what comes after it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http.protocol import GuardedProtocol
from api.http.straight_body import READ_INTO, ReadInto
from api.http.turns import Turns

BODY = bytes(range(256)) * 4000
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY)
NEXT = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE_S = 20

Receive = Callable[[], Awaitable[dict[str, Any]]]
Route = Callable[[Receive, ReadInto], Awaitable[bytes]]
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def serve(route: Route, client: Client) -> None:
    """Answers POST with what `route` returns, and GET with "next". Runs `client`."""

    async def app(scope, receive, send) -> None:
        body = b"next" if scope["method"] == "GET" else await route(receive, scope[READ_INTO])
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def run() -> None:
        config = Config(app, ws="none", log_config=None)
        config.load()
        made = partial(GuardedProtocol, config, ServerState(), {}, turns=Turns())
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await client(reader, writer)
        writer.close()
        server.close()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


async def taken(receive: Receive, read_into: ReadInto, room_bytes: int = 5000) -> bytes:
    """The body: straight wherever that is possible, else by `receive`."""
    body, straight_bytes, room = b"", 0, bytearray(room_bytes)
    while True:
        while count := await read_into(memoryview(room), PATIENCE_S):
            straight_bytes += count
            body += room[:count]
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            assert straight_bytes > len(BODY) / 2
            return body


@pytest.mark.parametrize("room_bytes", [5000, len(BODY) // 4, 2 * len(BODY)])
@pytest.mark.parametrize("pipelined", [True, False])
def test_the_body_comes_whole_and_the_connection_serves_the_next_request(room_bytes, pipelined):
    async def client(reader, writer) -> None:
        writer.write(HEAD + BODY + NEXT * pipelined)
        assert await answer(reader) == BODY
        if not pipelined:
            writer.write(NEXT)
        assert await answer(reader) == b"next"

    serve(lambda receive, read_into: taken(receive, read_into, room_bytes), client)


def test_no_more_than_one_mib_is_read_in_a_step():
    room = memoryview(bytearray(3 * 1024 * 1024))
    steps: list[int] = []

    async def route(receive, read_into) -> bytes:
        await receive()
        straight = read_into.func.__self__
        reading = asyncio.ensure_future(read_into(room, PATIENCE_S))
        await asyncio.sleep(0)
        steps.append(len(straight.buffer()))
        reading.cancel()
        return b""

    async def client(reader, writer) -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nbegin")
        await answer(reader)

    serve(route, client)
    assert steps == [1024 * 1024]


def test_a_body_of_unknown_length_comes_by_receive_alone():
    async def route(receive, read_into) -> bytes:
        assert await read_into(memoryview(bytearray(10)), PATIENCE_S) == 0
        message = await receive()
        return message["body"]

    async def client(reader, writer) -> None:
        writer.write(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n"
        )
        assert await answer(reader) == b"whole"

    serve(route, client)


def test_when_the_time_is_over_what_came_is_returned_and_the_rest_comes_later():
    halves = BODY[:100_000], BODY[100_000:]
    has_returned = asyncio.Event()

    async def route(receive, read_into) -> bytes:
        body = (await receive())["body"]
        room = memoryview(bytearray(len(BODY)))
        while len(body) < len(halves[0]):
            body += room[: await read_into(room, 0.1)]
        assert body == halves[0]
        has_returned.set()
        while len(body) < len(BODY):
            body += room[: await read_into(room, PATIENCE_S)]
        return body

    async def client(reader, writer) -> None:
        writer.write(HEAD + halves[0])
        await has_returned.wait()
        writer.write(halves[1])
        assert await answer(reader) == BODY

    serve(route, client)


def test_a_client_that_goes_ends_the_reading():
    seen: list[Any] = []

    async def route(receive, read_into) -> bytes:
        body = (await receive())["body"]
        room = memoryview(bytearray(len(BODY)))
        while count := await read_into(room, PATIENCE_S):
            body += room[:count]
        seen.append((body, (await receive())["type"]))
        return b""

    async def client(reader, writer) -> None:
        writer.write(HEAD + BODY[:100_000])
        await writer.drain()
        writer.close()
        while not seen:
            await asyncio.sleep(0.01)

    serve(route, client)
    assert seen == [(BODY[:100_000], "http.disconnect")]


def test_after_a_cancelled_reading_the_body_goes_on_by_receive():
    has_begun = asyncio.Event()

    async def route(receive, read_into) -> bytes:
        body = (await receive())["body"]
        room = memoryview(bytearray(len(BODY)))
        reading = asyncio.ensure_future(read_into(room, PATIENCE_S))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        has_begun.set()
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                return body

    async def client(reader, writer) -> None:
        writer.write(HEAD + BODY[:10])
        await has_begun.wait()
        writer.write(BODY[10:] + NEXT)
        assert await answer(reader) == BODY
        assert await answer(reader) == b"next"

    serve(route, client)
