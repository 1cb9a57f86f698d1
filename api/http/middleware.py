"""Gives every request an id, a line in the log, safe headers, and an answer whatever happens."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import IndexedHeaders, headers_of
from api.metrics import ApiMetrics
from api.problems import UNEXPECTED_ERROR, problem
from api.request_key import begin_state, key_id_of
from api.uuids import random_uuid
from common.observability.log import request_context
from common.tasks.messages import request_id_or_empty

log = logging.getLogger("api.access")

_MAX_HEAD_BYTES = 16 * 1024
_MAX_LOGGED_CHARS = 200
_MAX_METHOD_CHARS = 20
_PROBES = ("/health", "/livez", "/readyz", "/metrics")
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# As ASGI has them. Names of headers are in lower case there.
_SAFE_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
_SAFE_NAMES = frozenset(name for name, _ in _SAFE_HEADERS)


class EveryRequest:
    """The outermost middleware but for the proxy's."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, clock: Callable[[], float] = time.monotonic):
        self._app, self._metrics, self._clock = app, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        request_id, began_s, status = _request_id(headers), self._clock(), 0
        begin_state(scope)
        routed, is_head = _as_get(scope), scope["method"] == "HEAD"
        send = _head_alone(send) if is_head else send

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                message["headers"] = [*own, (b"x-request-id", request_id.encode()), *_safe_beside(own)]
            await send(message)

        with request_context(request_id):
            try:
                await (_refusal(scope, headers) or self._app)(routed, receive, send_with_headers)
            except Exception:
                log.exception("unexpected error")
                if not status:
                    await problem(500, UNEXPECTED_ERROR)(scope, receive, send_with_headers)
                elif not is_head:
                    raise  # an answer has begun, and is not complete: the server closes the connection
            finally:
                self._metrics.answered(routed, status)
                _log(scope, status, (self._clock() - began_s) * 1000)


def _safe_beside(own: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """Return the safe headers that an answer does not set itself."""
    given = _SAFE_NAMES.intersection([name for name, _ in own])
    return [header for header in _SAFE_HEADERS if header[0] not in given] if given else _SAFE_HEADERS


def _as_get(scope: Scope) -> Scope:
    """Route HEAD as GET; `_head_alone` leaves the body out."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _head_alone(send: Send) -> Send:
    """End the answer with its head, which keeps the headers of GET.

    The server then says that the client has gone, by which streams end. Otherwise the next request on the
    connection would wait for the end of a stream that nobody gets.
    """

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await asyncio.sleep(0)  # a stream that never waits for anything is ended here

    return send_head


def _refusal(scope: Scope, headers: IndexedHeaders) -> ASGIApp | None:
    """Return the answer to a request that uvicorn should not have let through, else None."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return _closing(505, "This server understands only HTTP/1.0 and HTTP/1.1")
    # A proxy before us may have used the other header (RFC 9112, 6.3): request smuggling.
    if "Content-Length" in headers and "Transfer-Encoding" in headers:
        return _closing(
            400, "The request has both Content-Length and Transfer-Encoding: send only one of them"
        )
    # h11 limits a head only while it waits for more: it does not measure a head that comes in one piece.
    if _head_bytes(scope) > _MAX_HEAD_BYTES:
        return _closing(
            431, f"The request's head (method, address and headers) is larger than {_MAX_HEAD_BYTES} bytes"
        )
    return None


def _head_bytes(scope: Scope) -> int:
    first_line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    return first_line + sum(len(name) + len(value) for name, value in scope["headers"])


def _closing(status: int, detail: str) -> ASGIApp:
    return problem(status, detail, headers={"Connection": "close"})


def _request_id(headers: IndexedHeaders) -> str:
    return request_id_or_empty(headers.get("X-Request-Id")) or str(random_uuid())


def _log(scope: Scope, status: int, took_ms: float) -> None:
    """Log the request without its query, which can hold secrets. Quote the path, which can hold line ends."""
    path = quote(scope["path"][:_MAX_LOGGED_CHARS])[:_MAX_LOGGED_CHARS]
    # A proxy may forward any text.
    client = scope["client"][0][:_MAX_LOGGED_CHARS] if scope.get("client") else "-"
    method = scope["method"][:_MAX_METHOD_CHARS]
    level = logging.DEBUG if path in _PROBES else logging.INFO
    key_id = key_id_of(scope)
    key = f", key {key_id}" if key_id else ""
    log.log(level, "%s %s %d %.1f ms, %s%s", method, path, status, took_ms, client, key)
