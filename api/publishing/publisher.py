"""Publishes tasks and requests about them, and returns once the broker has confirmed them."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from kafka.errors import KafkaError

from api.publishing.kafka_session import Sendable, Session
from api.publishing.outbox import NotConfirmed, NotTaken, Outbox, describe
from common.observability.health import Check
from common.waiting import Backoff

log = logging.getLogger(__name__)

_MAX_WAITING = 2000
_PROBE_INTERVAL_S = 5.0
_LATE = "Kafka did not confirm in time"
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.2, 2.0


class PublisherUnavailable(Exception):
    """The message was not confirmed in time. It may take effect nevertheless, if Kafka has stored it."""


class NotSent(PublisherUnavailable):
    """The message was not sent, and will not be."""


@dataclass(frozen=True, eq=False)
class _Connection:
    """A session with its outbox, and the event that tells the keeper to replace it."""

    session: Session
    outbox: Outbox
    over: threading.Event = field(default_factory=threading.Event)


class TaskPublisher(Protocol):
    async def start(self) -> None: ...

    async def publish(self, message: Sendable) -> None:
        """Return once the message is safely stored. Raise PublisherUnavailable; NotSent is one."""

    def check(self) -> Check:
        """Say whether tasks can be queued. Asks nobody: the answer is already known."""

    async def close(self) -> None: ...


class KafkaPublisher:
    """A TaskPublisher on Kafka sessions. It replaces a session as soon as anything in it fails.

    A keeper thread connects, probes and closes sessions, because all of these block. The event loop owns the
    rest of the state. Replacing costs some 50 ms. It mends what a producer of kafka-python cannot recover
    from: sequence numbers broken by an expired batch, a fatal state, old metadata.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        ack_timeout_s: float,
        probe_interval_s: float = _PROBE_INTERVAL_S,
        max_waiting: int = _MAX_WAITING,
    ):
        """`connect` blocks until there is a session, or raises. At most `max_waiting` messages wait."""
        self._max_waiting = max_waiting
        self._connect, self._ack_timeout_s, self._probe_interval_s = connect, ack_timeout_s, probe_interval_s
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._reason = "not connected yet"
        self._logged_reason = ""
        self._waiting = 0
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="kafka-keeper", daemon=True)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._keeper.start()

    def check(self) -> Check:
        return Check(False, self._reason) if self._connection is None else Check(True, "connected")

    async def publish(self, message: Sendable) -> None:
        if self._waiting >= self._max_waiting:
            raise NotSent("too many tasks wait for Kafka")
        self._waiting += 1
        try:
            await self._deliver(message, self._loop.time() + self._ack_timeout_s)
        finally:
            self._waiting -= 1

    async def _deliver(self, message: Sendable, due_s: float) -> None:
        connection = self._connection
        # The outbox's own time-out is too late for who had to wait: it may have messages that are due later.
        own_due_s = due_s if connection is None else None
        connection = connection or await self._connected_by(due_s)
        sent = connection.outbox.put(message, due_s)
        try:
            async with asyncio.timeout_at(own_due_s):
                await sent
        except TimeoutError:
            self._lost(connection, _LATE)
            raise (PublisherUnavailable if sent.is_begun else NotSent)(_LATE) from None
        except NotConfirmed as error:
            self._lost(connection, str(error))
            kind = NotSent if isinstance(error, NotTaken) else PublisherUnavailable
            raise kind(str(error)) from error

    async def _connected_by(self, due_s: float) -> _Connection:
        """Return the next connection. Raise NotSent at `due_s` of the loop's clock."""
        try:
            async with asyncio.timeout_at(due_s):
                while (connection := self._connection) is None:
                    await self._connected.wait()
                return connection
        except TimeoutError:
            raise NotSent(self._reason) from None

    async def close(self) -> None:
        self._stop.set()
        # A keeper that is still connecting has no session with unconfirmed messages: do not wait for it.
        if self._connection is not None:
            self._connection.over.set()
            await asyncio.to_thread(self._keeper.join, self._ack_timeout_s)

    def _lost(self, connection: _Connection | None, reason: str) -> None:
        """Let the keeper replace the session. Called on the event loop."""
        if connection is not None and connection is self._connection:
            connection.over.set()
            self._set(None, reason)

    def _set(self, connection: _Connection | None, reason: str) -> None:
        self._connection, self._reason = connection, reason
        if connection is None:
            self._connected.clear()
        else:
            self._connected.set()

    def _keep(self) -> None:
        backoff = Backoff(_FIRST_BACKOFF_S, _LAST_BACKOFF_S)
        while not self._stop.is_set():
            session = backoff.first_success(self._connect, self._stop, self._is_away)
            if session is None:
                return
            log.info("connected to Kafka")
            self._logged_reason = ""
            connection = _Connection(session, Outbox(session, self._loop))
            self._on_loop(self._set, connection, "")
            self._retire(connection, self._watch(connection))

    def _is_away(self, error: Exception) -> None:
        reason = describe(error)
        if reason != self._logged_reason:
            known = isinstance(error, KafkaError)
            log.warning("Kafka is away: %s", reason, exc_info=None if known else error)
        self._logged_reason = reason
        self._on_loop(self._set, None, reason)

    def _watch(self, connection: _Connection) -> str:
        """Probe the session until it is over, and return the reason."""
        while not (connection.over.wait(self._probe_interval_s) or self._stop.is_set()):
            try:
                connection.session.probe()
            except Exception as error:  # the keeper must go on, whatever a client raises
                if not isinstance(error, KafkaError | OSError):
                    log.warning("a probe of Kafka failed", exc_info=True)
                return f"Kafka does not answer: {describe(error)}"
        return "a task was not confirmed"

    def _retire(self, connection: _Connection, reason: str) -> None:
        if self._stop.is_set():
            self._close(connection)
            return
        log.warning("connecting to Kafka afresh: %s", reason)
        self._on_loop(self._lost, connection, reason)
        # Other messages may still be confirmed on the old session; the new session need not wait for them.
        closer = threading.Thread(target=self._close, args=(connection,), name="kafka-closer", daemon=True)
        closer.start()

    def _close(self, connection: _Connection) -> None:
        connection.outbox.close(self._ack_timeout_s)
        connection.session.close(self._ack_timeout_s)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function` on the event loop, from another thread. On a closed loop nobody waits for it."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)
