"""HTTP/1.1 as uvicorn and h11 speak it, with what they leave out: a deadline for a request's head, and
problem JSON for what is no HTTP."""

import asyncio
import logging
import sys
from http import HTTPStatus
from uuid import uuid4

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from api.middleware import SAFE_HEADERS
from api.problems import MEDIA_TYPE, problem
from common.log import request_context

log = logging.getLogger("api.access")


class GuardedProtocol(H11Protocol):
    """A connection."""

    # From the connection's start, or the end of the answer before, to the end of the headers. A body has
    # its own deadline, see `api.body`.
    head_deadline_s = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict,
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self._is_answering():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        # First, because what was pipelined may bring the next head at once.
        self._await_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Where uvicorn would answer in plain text. It calls this while it handles h11's error."""
        self._refuse(getattr(sys.exception(), "error_status_hint", 400), "The request is not valid HTTP")

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_deadline = self.loop.call_later(self.head_deadline_s, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_is_late(self) -> None:
        if self.conn.trailing_data[0] and self.conn.their_state is h11.IDLE:
            self._refuse(408, f"The request's headers did not arrive within {self.head_deadline_s:g} s")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answers, if no answer has begun, and closes. The log gets nothing of what was sent."""
        request_id = str(uuid4())
        with request_context(request_id):
            log.info("unreadable request %d, %s", status, self.client[0] if self.client else "-")
        if self._is_answering():
            # The route must neither wait for more of this body nor answer a second time.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            self.transport.write(self._answer(status, detail, request_id))
        self.transport.close()

    def _answer(self, status: int, detail: str, request_id: str) -> bytes:
        body = bytes(problem(status, detail).body)
        headers = [
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            ("X-Request-Id", request_id),
            *SAFE_HEADERS.items(),
        ]
        begin = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        parts = (begin, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)
