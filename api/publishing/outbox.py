"""Hands messages to a session in groups, in a thread of its own."""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue

from api.publishing.kafka_session import Sendable, Session


class Confirmation(asyncio.Future[None]):
    """Is done once the message is confirmed, or has failed.

    `is_begun` is set by the outbox's thread before it looks whether the confirmation is done, and may be read
    once it is. So a message whose confirmation is done and was not begun is never sent.
    """

    is_begun = False


_Waiting = tuple[Sendable, Confirmation]


class NotConfirmed(Exception):
    """The session has given the message up. Kafka may have stored it."""


class NotTaken(NotConfirmed):
    """The session has not taken the message: it is not sent."""


class Outbox:
    """The messages for one session. `put` belongs to the event loop.

    A thread sends them, since `send` blocks for some seconds when the topic has just vanished. The messages
    that come while a group is on its way are the next group. One request to Kafka and one wake-up of the
    event loop for each message would cost more than all else that a submission costs.
    """

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop):
        self._session, self._loop = session, loop
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._answers: deque[tuple[Confirmation, NotConfirmed | None]] = deque()
        # Of the event loop: what waits for its answer, and until when. One timer serves all: a timer for each
        # message would cost as much as its way to the thread.
        self._due: deque[tuple[float, Confirmation]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_settling = False
        self._thread = threading.Thread(target=self._run, name="kafka-send", daemon=True)
        self._thread.start()

    def put(self, message: Sendable, due_s: float) -> Confirmation:
        """Return a future that is done once the message is confirmed, or fails with NotConfirmed.

        It fails with TimeoutError at `due_s` of the clock of the loop, or later if an earlier message is due
        later. A message whose future has failed or is cancelled before its turn is not sent.
        """
        result = Confirmation(loop=self._loop)
        self._due.append((due_s, result))
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._look_at_due)
        self._queue.put((message, result))
        return result

    def close(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` until the session has all messages that were put before."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        is_open = True
        while is_open:
            group = self._next_group()
            is_open = None not in group
            for waiting in group:
                if waiting is not None:
                    self._send(*waiting)
            self._session.flush()

    def _next_group(self) -> list[_Waiting | None]:
        """Wait for a message; return all that are there then. None stands for the end."""
        group = [self._queue.get()]
        with suppress(Empty):
            while True:
                group.append(self._queue.get_nowait())
        return group

    def _send(self, message: Sendable, result: Confirmation) -> None:
        result.is_begun = True
        if result.done():  # nobody waits any more: the client was told that the message is not queued
            return
        try:
            self._session.send(message, lambda error: self._answered(result, _given_up(error)))
        except Exception as error:  # noqa: BLE001 (whatever a client raises, the next message may fare better)
            self._answered(result, NotTaken(describe(error)))

    def _answered(self, result: Confirmation, error: NotConfirmed | None) -> None:
        """Let the event loop settle the result. May be called from any thread."""
        self._answers.append((result, error))
        # After the line above: a `_settle` that has yet to begin takes this answer, too.
        if not self._is_settling:
            self._is_settling = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._settle)

    def _look_at_due(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        while self._due and (self._due[0][0] <= now_s or self._due[0][1].done()):
            _, result = self._due.popleft()
            if not result.done():
                result.set_exception(TimeoutError())
        if self._due:
            self._timer = self._loop.call_at(self._due[0][0], self._look_at_due)

    def _settle(self) -> None:
        self._is_settling = False
        while self._answers:
            result, error = self._answers.popleft()
            if result.done():
                continue
            if error is None:
                result.set_result(None)
            else:
                result.set_exception(error)
        while self._due and self._due[0][1].done():
            self._due.popleft()


def _given_up(error: BaseException | None) -> NotConfirmed | None:
    return None if error is None else NotConfirmed(describe(error))


def describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
