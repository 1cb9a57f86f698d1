"""Reads a request's body within bounds of size and time."""

import asyncio
from collections.abc import Callable

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.problems import ProblemError

WHOLE_BODY = "uvr.whole_body"
"""In a scope: a function that returns the body if all of it has come, and otherwise None."""
_DEADLINE_S = 10.0


async def read_body(
    request: Request, max_bytes: int, deadline_s: float = _DEADLINE_S, limit: str = "MAX_BODY_BYTES"
) -> bytes:
    """Return the body. `limit` names the setting of `max_bytes`.

    Raise ProblemError: 413 as soon as the body is known to be too large, 408 if it comes too slowly, 400 if
    the client disconnects.
    """
    if int(request.headers.get("Content-Length") or 0) > max_bytes:
        raise _too_large(max_bytes, limit)
    if (body := _whole_body(request)) is not None:
        if len(body) > max_bytes:
            raise _too_large(max_bytes, limit)
        return body
    try:
        async with asyncio.timeout(deadline_s):
            return await _read(request, max_bytes, limit)
    except TimeoutError:
        raise ProblemError(
            408, f"The body did not arrive within {deadline_s:.0f} s; please send it again"
        ) from None
    except ClientDisconnect:
        raise ProblemError(400, "The body ended before it was complete") from None


def _whole_body(request: Request) -> bytes | None:
    take: Callable[[], bytes | None] | None = request.scope.get(WHOLE_BODY)
    return take() if take else None


async def _read(request: Request, max_bytes: int, limit: str) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes, limit)
    return bytes(body)


def _too_large(max_bytes: int, limit: str) -> ProblemError:
    return ProblemError(413, f"The body is larger than {max_bytes} bytes, the limit by {limit}")
