"""A request's body, read within bounds of size and time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.problems import ProblemError

_DEADLINE_S = 10.0


async def read_body(request: Request, max_bytes: int, deadline_s: float = _DEADLINE_S) -> bytes:
    """Raises ProblemError: 413 as soon as it is known to be too large, 408 when it comes too slowly."""
    too_large = ProblemError(413, f"The body is larger than {max_bytes} bytes")
    if int(request.headers.get("Content-Length") or 0) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise ProblemError(408, f"The body did not arrive within {deadline_s:.0f} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "The body ended before it was complete") from None
    return bytes(body)
