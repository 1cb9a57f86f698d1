"""HTTP/1.1 by uvicorn and h11, with what they lack.

These are deadlines for a request's head and for taking an answer, and a limit of connections. Requests that
are no valid HTTP get problem JSON.
"""

import asyncio
import logging
import sys
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from api.http.body import WHOLE_BODY
from api.http.connections import Connections, Place
from api.http.refusal import plain_headers
from api.http.straight_body import READ_INTO, StraightBody
from api.http.turns import Turns
from api.http.watched_transport import WatchedTransport
from api.problems import problem
from api.uuids import random_uuid
from common.observability.log import request_context

log = logging.getLogger("api.access")

_READ_BYTES = 16 * 1024
_READ_BODY_BYTES = 64 * 1024
# Filled and read in one step of the event loop, so all connections share it.
_READ_BUFFER = memoryview(bytearray(_READ_BODY_BYTES))
# They are cheap, and orchestrators restart a service that does not answer them.
_AT_ONCE = ("/health", "/livez", "/readyz")


class GuardedProtocol(H11Protocol, asyncio.BufferedProtocol):
    """A connection. A BufferedProtocol, so that no more is read at a time than a head may have."""

    # From the start of the connection, or the end of the previous answer, to the end of the headers. A body
    # has a deadline of its own, see `api.http.body`.
    head_deadline_s = 10.0
    # The longest time in which a client may take nothing of its answer.
    write_deadline_s = 15.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        connections: Connections | None = None,
        turns: Turns | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        if turns is not None:
            self._turns, self._app, self.app = turns, self.app, self._in_turn
        # By the loop's clock; None while no head is awaited. The timer looks at it: a timer for each request
        # would cost more.
        self._head_due_s: float | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._connections = connections
        self._place: Place | None = None
        self._next_is_held = self._is_piled_up = False

    # A TCP server's transports are `Transport`s; the base class allows any `BaseTransport`.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        watched = WatchedTransport(transport, self.loop, self.write_deadline_s, self._stalled, self._stepped)
        # An answer that the kernel does not take at once is paused: at most one piece of it is in our memory.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(watched)  # type: ignore[arg-type]  # it delegates to a Transport
        self._straight = StraightBody(self.conn, self.flow)
        if self._connections is not None:
            self._place = self._connections.place_of(transport.get_extra_info("peername"))
        if self._place is not None:
            self._place.cut = watched.cut
            if not self._place.counts:
                watched.cut()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._straight.end()
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self.transport.unwatch()  # type: ignore[attr-defined]  # a WatchedTransport
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._straight.is_reading:
            return self._straight.buffer()
        return _READ_BUFFER[: _READ_BODY_BYTES if self.conn.their_state is h11.SEND_BODY else _READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        if not self._straight.is_reading:
            # h11 copies the bytes at once, of whatever holds them.
            self.data_received(_READ_BUFFER[:nbytes])  # type: ignore[arg-type]  # it asks for bytes
        elif self._straight.came(nbytes):
            self.handle_events()

    def handle_events(self) -> None:
        super().handle_events()
        if self._is_answering():
            self._stop_waiting()

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_piled_up or scope["path"] not in _AT_ONCE:
            await self._turns.take(self._is_piled_up)
        # A client that was cut off meanwhile gets no answer. Without this uvicorn would log an error.
        if self.transport.is_closing():
            self.cycle.disconnected = True
            return
        self._works()
        scope[WHOLE_BODY] = self._take_body
        scope[READ_INTO] = partial(self._straight.read_into, self.cycle)
        await self._app(scope, receive, self._in_one_piece(send))

    def _take_body(self) -> bytes | None:
        """Return the request's body if all of it has come, as `receive` would. Otherwise return None."""
        cycle = self.cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected or cycle.response_complete:
            return None
        self.flow.resume_reading()
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def _in_one_piece(self, send: Send) -> Send:
        """Let the head of an answer go out together with the body, where the body follows at once."""
        transport: WatchedTransport = self.transport  # type: ignore[assignment]  # see `connection_made`

        async def send_in_one_piece(message: Message) -> None:
            if message["type"] == "http.response.start":
                transport.hold_next()
            await send(message)

        return send_in_one_piece

    def pause_writing(self) -> None:
        super().pause_writing()
        self._waits()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._works()
        if self._next_is_held:
            self._next_is_held = False
            self._take_next()

    def on_response_complete(self) -> None:
        # A client that pipelines and does not read gets no further answer, which would fill our memory.
        if self.transport.get_write_buffer_size():
            self._next_is_held = True
        else:
            self._take_next()

    def _take_next(self) -> None:
        # Before the call below, which may read the next head at once from what was pipelined.
        self._is_piled_up = bool(self.conn.trailing_data[0])
        self._await_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer with a problem instead of uvicorn's plain text. Called while uvicorn handles h11's error."""
        self._refuse(getattr(sys.exception(), "error_status_hint", 400), "The request is not valid HTTP")

    def _waits(self) -> None:
        if self._connections is not None and self._place is not None:
            self._connections.waits(self._place, self._is_piled_up or self.flow.write_paused)

    def _works(self) -> None:
        if self._connections is not None and self._place is not None:
            self._connections.is_busy(self._place)

    def _stepped(self) -> None:
        """Note that some of the answer was taken: other connections now make room before this one."""
        if self.transport.get_write_buffer_size():
            self._waits()

    def _stalled(self) -> None:
        if self._connections is not None:
            self._connections.stalled(self.client[0] if self.client else "-")

    def _await_head(self) -> None:
        self._waits()
        self._head_due_s = self.loop.time() + self.head_deadline_s
        if self._head_timer is None:
            self._head_timer = self.loop.call_at(self._head_due_s, self._look_at_head)

    def _stop_waiting(self) -> None:
        self._head_due_s = None

    def _look_at_head(self) -> None:
        self._head_timer = None
        if self._head_due_s is None:
            return
        if self.loop.time() < self._head_due_s:
            self._head_timer = self.loop.call_at(self._head_due_s, self._look_at_head)
        else:
            self._head_is_late()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_is_late(self) -> None:
        if self.conn.trailing_data[0] and self.conn.their_state is h11.IDLE:
            self._refuse(408, f"The request's headers did not arrive within {self.head_deadline_s:g} s")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, if no answer has begun, and close. The log gets nothing of what the client sent."""
        request_id = str(random_uuid())
        with request_context(request_id):
            log.info("unreadable request %d, %s", status, self.client[0] if self.client else "-")
        if self._is_answering():
            # Keep the route from waiting for more of this body, and from answering a second time.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            self.transport.write(self._answer(status, detail, request_id))
        self.transport.close()

    def _answer(self, status: int, detail: str, request_id: str) -> bytes:
        body = bytes(problem(status, detail).body)
        headers = [*plain_headers(body), ("X-Request-Id", request_id)]
        begin = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        parts = (begin, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)
