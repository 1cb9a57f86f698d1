"""Lets a route read a long body straight into its own memory, past the copies that h11 and uvicorn make."""

import asyncio
from collections.abc import Awaitable, Callable

import h11
from h11._readers import ContentLengthReader
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

READ_INTO = "uvr.read_into"
"""In a scope: a `ReadInto` for the request's body."""
ReadInto = Callable[[memoryview, float], Awaitable[int]]
"""Fills memory with the next bytes of the body, and returns how many came within a time in seconds.

They fill the memory, or the body ends after them, or the time is over, or the client is gone: `receive` says
which. 0 also means that other bytes, which `receive` has, must be taken first.
"""
# One step of the event loop takes no longer than for so many bytes.
_STEP_BYTES = 1024 * 1024


class StraightBody:
    """Reads the bodies of one connection, one after the other. Used in one event loop."""

    def __init__(self, conn: h11.Connection, flow: FlowControl):
        self._conn, self._flow = conn, flow
        # The memory that is being filled, how much of it is full, what h11 knows of the body, and who waits.
        self._room = memoryview(b"")
        self._count = 0
        self._framing = ContentLengthReader(0)
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_reading(self) -> bool:
        """Whether the connection's next bytes belong into `buffer()`."""
        return self._waiting is not None

    def buffer(self) -> memoryview:
        """Return where the next bytes go."""
        return self._room[self._count : self._count + _STEP_BYTES]

    async def read_into(self, cycle: RequestResponseCycle, room: memoryview, timeout_s: float) -> int:
        """Fill `room` with the next bytes of the cycle's body: a `ReadInto`."""
        framing = self._conn._reader
        if not isinstance(framing, ContentLengthReader) or _has_other_bytes(cycle, self._conn):
            return 0
        loop = asyncio.get_running_loop()
        self._framing = framing
        # What follows the body is the next request's.
        self._room, self._count, self._waiting = room[: framing._remaining], 0, loop.create_future()
        overdue = loop.call_later(timeout_s, self.end)
        self._flow.resume_reading()
        try:
            await self._waiting
        finally:
            overdue.cancel()
            self.end()
        return self._count

    def came(self, count: int) -> bool:
        """Note that so many bytes are in the buffer. Return whether the body ends after them."""
        self._count += count
        # h11 counts only what it is given, and has no public way to be told of more.
        self._framing._remaining -= count
        if self._count == len(self._room):
            self.end()
        if self._framing._remaining:
            return False
        self._flow.resume_reading()
        return True

    def end(self) -> None:
        """Read no more into a route's memory, and nothing else until the route asks for more."""
        if self._waiting is None:
            return
        if not self._waiting.done():  # done: it was cancelled
            self._waiting.set_result(None)
        self._waiting, self._room = None, memoryview(b"")
        self._flow.pause_reading()


def _has_other_bytes(cycle: RequestResponseCycle, conn: h11.Connection) -> bool:
    """Whether `receive` has something to say first: bytes, the body's end, or that the client is gone."""
    if cycle.waiting_for_100_continue or not cycle.more_body or cycle.disconnected or cycle.response_complete:
        return True
    return bool(cycle.body or conn.trailing_data[0])
