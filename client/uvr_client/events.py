"""A task's stream of events, followed across broken connections and restarts of the api."""

from collections.abc import Iterator
from uuid import UUID

import httpx

from uvr_client import answers, sse
from uvr_client.errors import RequestError, ServerError, Unavailable, Unreachable, UvrError, WaitTimeout
from uvr_client.models import Task, TaskEvent
from uvr_client.transport import Transport

# How long somebody who wants the stems waits for the receiver, so that he mostly sees the task's end.
_RECEIVER_S = 5.0
# The api sends a comment every 15 s: a connection that is silent for longer is none any more.
_SILENCE_S = 60.0
_SHORTEST_READ_S = 0.01


def follow(
    transport: Transport, task_uuid: UUID, last_event_id: str | None, timeout_s: float | None = None
) -> Iterator[TaskEvent]:
    """Each status after `last_event_id` until the task is over.

    Raises UvrError: Unreachable or Unavailable once nothing was heard for the patience's `outage_s`,
    WaitTimeout after `timeout_s`, which is noticed at the api's next sign of life.
    """
    patience = transport.patience
    began_s = heard_at_s = patience.clock()
    pauses_s = patience.pauses_s()

    def left_s() -> float:
        """Raises WaitTimeout when it is none."""
        if timeout_s is None:
            return _SILENCE_S
        left = began_s + timeout_s - patience.clock()
        if left <= 0:
            raise WaitTimeout(f"task {task_uuid} was not over within {timeout_s:g} s; it goes on")
        return left

    while True:
        error: UvrError = Unreachable(f"the api at {transport.base_url} has ended the stream")
        read_timeout_s = min(_SILENCE_S, max(left_s(), _SHORTEST_READ_S))
        try:
            for event in _one_stream(transport, task_uuid, last_event_id, read_timeout_s):
                heard_at_s = patience.clock()
                if event is not None:
                    last_event_id, pauses_s = event.id, patience.pauses_s()
                    yield event
                    if event.task.is_over:
                        return
                left_s()
        except _NothingMore:
            return
        except httpx.RequestError as broken:
            error = transport.unreachable(broken)
        except Unavailable as unavailable:
            error = unavailable
        left_s()
        if patience.clock() - heard_at_s > patience.outage_s:
            raise error
        patience.pause(error, next(pauses_s))


def follow_to_stems(
    transport: Transport, task_uuid: UUID, timeout_s: float | None = None
) -> Iterator[TaskEvent]:
    """As `follow`, but a task that has its stems is followed for a moment only.

    Nobody who wants the stems has to wait for a receiver, which may not take the callback for a day.
    """
    for event in follow(transport, task_uuid, None, timeout_s):
        yield event
        if event.task.has_stems and not event.task.is_over:
            yield from _for_a_moment(transport, event)
            return


def _for_a_moment(transport: Transport, event: TaskEvent) -> Iterator[TaskEvent]:
    """What comes until the receiver has answered. How the task has ended is known already."""
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
    """The task is over, and its last status was seen."""


def _one_stream(
    transport: Transport, task_uuid: UUID, last_event_id: str | None, read_timeout_s: float
) -> Iterator[TaskEvent | None]:
    """What one connection gives until it ends: events, and None for every other sign of life."""
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
            # Events of other kinds are a newer api's.
            is_status = event is not None and event.event == "status"
            yield TaskEvent(id=event.id, task=answers.read(Task, event.data)) if is_status else None
