"""Follows a task's stream of events across broken connections and restarts of the api."""

from collections.abc import Iterator
from uuid import UUID

import httpx

from uvr_client import answers, sse
from uvr_client.errors import RequestError, ServerError, Unavailable, Unreachable, UvrError, WaitTimeout
from uvr_client.models import Task, TaskEvent
from uvr_client.transport import Transport

# A user who waits for stems waits this long for the callback, and so mostly sees the final state.
_RECEIVER_S = 5.0
# The api sends a comment every 15 s: a connection that is silent for 60 s is broken.
_SILENCE_S = 60.0
_SHORTEST_READ_S = 0.01


def follow(
    transport: Transport, task_uuid: UUID, last_event_id: str | None, timeout_s: float | None = None
) -> Iterator[TaskEvent]:
    """Yields each status after `last_event_id` until the task has ended.

    Raises UvrError: Unreachable or Unavailable after the patience's `outage_s` without a sign of life, and
    WaitTimeout after `timeout_s`, which is checked at each sign of life.
    """
    following = _Following(transport, task_uuid, last_event_id, timeout_s)
    while True:
        error: UvrError = Unreachable(f"the api at {transport.base_url} has ended the stream")
        read_timeout_s = following.read_timeout_s()
        try:
            yield from following.one_stream(read_timeout_s)
        except _NothingMore:
            return
        except httpx.RequestError as broken:
            error = transport.unreachable(broken)
        except Unavailable as unavailable:
            error = unavailable
        if following.has_ended:
            return
        following.pause(error)


class _Following:
    """Follows one task across its streams. `has_ended` is True once its final status was seen."""

    def __init__(
        self, transport: Transport, task_uuid: UUID, last_event_id: str | None, timeout_s: float | None
    ):
        self.has_ended = False
        self._transport, self._task_uuid = transport, task_uuid
        self._last_event_id, self._timeout_s = last_event_id, timeout_s
        self._patience = transport.patience
        self._began_s = self._heard_at_s = self._patience.clock()
        self._pauses_s = self._patience.pauses_s()

    def one_stream(self, read_timeout_s: float) -> Iterator[TaskEvent]:
        """Yields the events of one connection. Raises httpx.RequestError, RequestError and WaitTimeout."""
        for event in _stream(self._transport, self._task_uuid, self._last_event_id, read_timeout_s):
            self._heard_at_s = self._patience.clock()
            if event is not None:
                self._last_event_id, self._pauses_s = event.id, self._patience.pauses_s()
                yield event
                if event.task.is_over:
                    self.has_ended = True
                    return
            self._left_s()

    def read_timeout_s(self) -> float:
        """Returns how long a read of the stream may take. Raises WaitTimeout when no time is left."""
        return min(_SILENCE_S, max(self._left_s(), _SHORTEST_READ_S))

    def pause(self, error: UvrError) -> None:
        """Sleeps until the next connection. Raises WaitTimeout, or `error` when the outage is too long."""
        self._left_s()
        if self._patience.clock() - self._heard_at_s > self._patience.outage_s:
            raise error
        self._patience.pause(error, next(self._pauses_s))

    def _left_s(self) -> float:
        if self._timeout_s is None:
            return _SILENCE_S
        left_s = self._began_s + self._timeout_s - self._patience.clock()
        if left_s <= 0:
            raise WaitTimeout(f"task {self._task_uuid} did not end within {self._timeout_s:g} s; it goes on")
        return left_s


def follow_to_stems(
    transport: Transport, task_uuid: UUID, timeout_s: float | None = None
) -> Iterator[TaskEvent]:
    """Follows the task as `follow` does, but for 5 s at most once it has its stems.

    A receiver may not accept the callback for a day, and a user who wants the stems need not wait for it.
    """
    for event in follow(transport, task_uuid, None, timeout_s):
        yield event
        if event.task.has_stems and not event.task.is_over:
            yield from _until_first_delivery(transport, event)
            return


def _until_first_delivery(transport: Transport, event: TaskEvent) -> Iterator[TaskEvent]:
    """Yields events until the receiver's first answer. No error is raised: the stems are ready already."""
    task_uuid = event.task.task_uuid
    if event.task.next_try_at is not None:
        return
    try:
        for later in follow(transport, task_uuid, event.id, _RECEIVER_S):
            yield later
            if later.task.next_try_at is not None:
                return
    except (WaitTimeout, Unreachable, RequestError):
        return


class _NothingMore(Exception):
    """The api has no event after the last one: the task has ended."""


def _stream(
    transport: Transport, task_uuid: UUID, last_event_id: str | None, read_timeout_s: float
) -> Iterator[TaskEvent | None]:
    """Yields the events of one connection, and None for each other sign of life."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id and last_event_id.isascii() and last_event_id.isprintable():
        headers["Last-Event-ID"] = last_event_id
    with transport.stream(f"/tasks/{task_uuid}/events", headers, read_timeout_s) as response:
        answers.raise_for_status(response)
        if response.status_code == 204:
            raise _NothingMore
        content_type = response.headers.get("Content-Type", "")
        if not content_type.startswith("text/event-stream"):
            raise ServerError(response.status_code, f"not an answer of the api: {content_type!r}")
        for event in sse.parse(response.iter_bytes()):
            # A newer api may send events of other kinds.
            if event is not None and event.event == "status":
                yield TaskEvent(id=event.id, task=answers.read(Task, event.data))
            else:
                yield None
