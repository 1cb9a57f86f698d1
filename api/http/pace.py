"""Reads a long body as it comes, and ends a client that is too slow."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Request

from api.problems import ProblemError

SPAN_S = 60.0


async def paced_body(request: Request, min_bytes_per_s: int, span_s: float = SPAN_S) -> AsyncIterator[bytes]:
    """Yields the body's pieces.

    Only the time counts in which the api waits for the client: not the time that the receiver of the pieces
    takes. Raises ProblemError: 408 for a client that sends less than `min_bytes_per_s`, or nothing, over
    `span_s` of it, 400 for one that goes before the body's end.
    """
    waited_s, came_bytes = 0.0, 0
    while True:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(span_s - waited_s):
                message = await request.receive()
        except TimeoutError:
            message = None
        waited_s += time.monotonic() - began_s
        piece = message.get("body", b"") if message else b""
        came_bytes += len(piece)
        if message is None or waited_s >= span_s:
            if came_bytes < max(1, min_bytes_per_s * span_s):
                raise ProblemError(
                    408, f"The body came too slowly: {came_bytes} bytes in {span_s:g} s; please send it again"
                )
            waited_s, came_bytes = 0.0, 0
        if message is None:
            continue
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "The body ended before it was complete")
        if piece:
            yield piece
        if not message.get("more_body", False):
            return
