"""Reads a long body as it comes, and ends a client that is too slow."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Request

from api.http.straight_body import READ_INTO, ReadInto
from api.problems import ProblemError

SPAN_S = 60.0


class PacedBody:
    """A request's body, for one taker.

    Only the time counts in which the api waits for the client: not the time that the taker needs. Both ways
    to read raise ProblemError 408 for a client that sends less than `min_bytes_per_s`, or nothing, over
    `span_s` of it.
    """

    def __init__(self, request: Request, min_bytes_per_s: int, span_s: float = SPAN_S):
        self._receive = request.receive
        self._straight: ReadInto | None = request.scope.get(READ_INTO)
        self._span_s, self._min_bytes = span_s, max(1, min_bytes_per_s * span_s)
        self._waited_s, self._came_bytes = 0.0, 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the body's pieces. Raises ProblemError 400 if the client goes before the body's end."""
        while True:
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(self._span_s - self._waited_s):
                    message = await self._receive()
            except TimeoutError:
                self._count(began_s, 0)
                continue
            piece: bytes = message.get("body", b"")
            self._count(began_s, len(piece))
            if message["type"] == "http.disconnect":
                raise ProblemError(400, "The body ended before it was complete")
            if piece:
                yield piece
            if not message.get("more_body", False):
                return

    async def read_into(self, room: memoryview) -> int:
        """Reads the next bytes straight into `room`, and returns how many came.

        If fewer came than fit into it, `pieces` has what comes next, or the reason why nothing does.
        """
        if self._straight is None:
            return 0
        began_s = time.monotonic()
        count = await self._straight(room, self._span_s - self._waited_s)
        self._count(began_s, count)
        return count

    def _count(self, began_s: float, came_bytes: int) -> None:
        self._waited_s += time.monotonic() - began_s
        self._came_bytes += came_bytes
        if self._waited_s < self._span_s:
            return
        if self._came_bytes < self._min_bytes:
            raise ProblemError(
                408,
                f"The body came too slowly: {self._came_bytes} bytes in {self._span_s:g} s; "
                "please send it again",
            )
        self._waited_s, self._came_bytes = 0.0, 0
