"""An answer's head waits for its body, but never beyond the turn of the event loop."""

import asyncio
from collections.abc import Awaitable, Callable

from api.http.watched_transport import WatchedTransport


class Wire:
    """A transport that keeps what each write sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0


def written(act: Callable[[WatchedTransport], Awaitable[None]]) -> Wire:
    wire = Wire()

    async def run() -> None:
        transport = WatchedTransport(wire, asyncio.get_running_loop(), 10, lambda: None, lambda: None)
        try:
            await act(transport)
        finally:
            transport.unwatch()

    asyncio.run(run())
    return wire


def test_head_and_body_are_sent_together():
    async def act(transport):
        transport.hold_next()
        transport.write(b"head ")
        transport.write(b"body")
        transport.write(b"")
        transport.write(b"more")

    assert [piece for piece in written(act).sent if piece] == [b"head body", b"more"]


def test_a_head_whose_body_is_empty_is_sent_with_the_end():
    async def act(transport):
        transport.hold_next()
        transport.write(b"head")
        transport.write(b"")

    assert written(act).sent == [b"head"]


def test_a_head_whose_body_comes_later_goes_first():
    async def act(transport):
        transport.hold_next()
        transport.write(b"head")
        await asyncio.sleep(0)
        assert transport.sent == [b"head"]
        transport.write(b"event")

    assert written(act).sent == [b"head", b"event"]


def test_a_close_does_not_lose_the_head():
    async def act(transport):
        transport.hold_next()
        transport.write(b"head")
        transport.close()
        await asyncio.sleep(0)

    assert written(act).sent == [b"head"]


def test_a_connection_that_is_cut_off_sends_no_head():
    async def act(transport):
        transport.hold_next()
        transport.write(b"head")
        transport.abort()
        await asyncio.sleep(0)

    assert written(act).sent == []


def test_without_an_answer_nothing_is_held():
    async def act(transport):
        transport.hold_next()
        await asyncio.sleep(0)
        transport.write(b"refusal")

    assert written(act).sent == [b"refusal"]
