"""`GET /tasks…`: how far tasks are. Users see their own tasks, administrators see all."""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.problems import problem
from api.routes.access import IsAdmin, User, VisibleTask
from api.routes.models import (
    EXAMPLE_DELIVERIES,
    EXAMPLE_PAGE,
    EXAMPLE_SEPARATING,
    Deliveries,
    Delivery,
    TaskPage,
    TaskStatus,
    decode_cursor,
    encode_cursor,
    event_id,
    seen,
)
from api.routes.parts import AppParts, Parts
from api.routes.responses import answer, answers_about_one_task, answers_about_tasks
from api.routes.task_filters import KeyFilter, LabelFilter, SearchFilter, Seconds
from api.routes.waiting import MAX_WAIT_S, documented, location_of
from api.view import query
from api.view.changes import TaskWatch
from api.view.merge import Rank, rank
from api.view.task_view import ViewUnavailable
from api.view.time_limit import TooMuchToRead
from common.tasks.messages import State, Status

_RETRY_AFTER_S = 2

router = APIRouter(prefix="/tasks", tags=["tasks"])


class NothingMore(Exception):
    """A stream's client has seen the task's final status: no further event will come."""


def install(app: FastAPI) -> None:
    """Add the handlers of the exceptions by which the routes below end, other than problems."""

    @app.exception_handler(NothingMore)
    async def on_nothing_more(_: Request, __: NothingMore) -> Response:
        return Response(status_code=204)  # the only answer after which an EventSource does not reconnect

    @app.exception_handler(ViewUnavailable)
    async def on_unavailable(_: Request, error: ViewUnavailable) -> Response:
        detail = f"The api does not know the current state of tasks yet; please try again: {error}"
        return problem(503, detail, headers={"Retry-After": str(_RETRY_AFTER_S)})

    @app.exception_handler(TooMuchToRead)
    async def on_too_much(_: Request, error: TooMuchToRead) -> Response:
        detail = f"The search has too many tasks to look through, so {error}: ask for less, by fewer words "
        detail += "of `search`, a longer `label` or a later `submitted_since`"
        return problem(400, detail, "too_much_to_read")


@router.get(
    "",
    summary="List tasks",
    response_model_exclude_none=True,
    responses=answers_about_tasks(answer("A page of tasks", EXAMPLE_PAGE)),
)
async def tasks(
    user: User,
    sees_all: IsAdmin,
    parts: Parts,
    state: State | None = None,
    idempotency_key: KeyFilter = None,
    label: LabelFilter = None,
    search: SearchFilter = "",
    submitted_since: Seconds = None,
    submitted_before: Seconds = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> TaskPage:
    """Return your tasks, the newest first, or all tasks to users in `ADMIN_USERNAMES`."""
    found = await parts.view.page(
        query.Query(
            user=None if sees_all else user,
            state=state,
            idempotency_key=idempotency_key,
            label=label,
            search=search,
            since=submitted_since,
            until=submitted_before,
            after=decode_cursor(cursor) if cursor is not None else None,
            limit=limit + 1,
        )
    )
    page = found[:limit]
    following = None
    if len(found) > limit:
        parameters = {
            "state": state,
            "idempotency_key": idempotency_key,
            "label": label,
            "search": search or None,
            "submitted_since": submitted_since,
            "submitted_before": submitted_before,
            "limit": limit,
            "cursor": encode_cursor(page[-1]),
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        following = f"/tasks?{urlencode(given)}"
    return TaskPage(tasks=[TaskStatus.of(status) for status in page], next=following)


@router.get(
    "/{task_uuid}",
    summary="Where a task is",
    response_model_exclude_none=True,
    responses=answers_about_one_task(
        answer(
            "The task. A task that was submitted to any api before this request is found", EXAMPLE_SEPARATING
        )
    )
    | {
        202: documented(
            "Only with `wait`: the task has not ended by then", EXAMPLE_SEPARATING, has_preference=False
        )
    },
)
async def task(
    status: VisibleTask,
    parts: Parts,
    request: Request,
    response: Response,
    wait: Annotated[
        int, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait at most for the task's end")
    ] = 0,
) -> TaskStatus:
    """Return how far the task is: at once, or with `wait` once it has ended."""
    if not wait or status.state.is_final:
        return await _described(status, parts)
    ended = await parts.waiters.end_of(status.task_uuid, wait, parts.view, request)
    if ended is None:
        response.status_code = 202
        response.headers.update(location_of(status.task_uuid))
    return await _described(ended or await parts.view.find(status.task_uuid) or status, parts)


@router.get(
    "/{task_uuid}/deliveries",
    summary="A task's callbacks",
    response_model_exclude_none=True,
    responses=answers_about_one_task(
        answer(
            "All tries to deliver a callback, the first one first. The tries of a redelivery are numbered "
            "from 1 again",
            EXAMPLE_DELIVERIES,
        )
    ),
)
async def deliveries(status: VisibleTask, parts: Parts) -> Deliveries:
    """Return how the task's callbacks were answered."""
    attempts = await parts.view.deliveries(status.task_uuid)
    return Deliveries(deliveries=[Delivery.of(attempt) for attempt in attempts])


async def rank_seen(
    status: VisibleTask,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=255)] = None,
) -> Rank:
    """Return the rank of the last status that the client has seen. Raise NothingMore if it was the final one.

    A dependency, because the answer's status must be decided before its body begins.
    """
    last = seen(last_event_id)
    if status.state.is_final and last >= rank(status):
        raise NothingMore
    return last


async def watched(status: VisibleTask, parts: Parts) -> AsyncIterator[TaskWatch]:
    """Watch the task until the answer has ended, in whichever way.

    A dependency, because a stream whose client goes while it gets an event is closed by the garbage collector
    alone, which may come much later.
    """
    with parts.view.watch(status.task_uuid) as watch:
        yield watch


@router.get(
    "/{task_uuid}/events",
    summary="Watch a task",
    response_class=EventSourceResponse,
    responses=answers_about_one_task(
        answer(
            "Server-sent events. Each `status` event has an id and holds what `GET /tasks/{task_uuid}` "
            "returns. The stream ends after the final state. A client that reconnects continues after "
            "`Last-Event-ID`. Comments keep the connection open",
            'event: status\ndata: {"state": "queued", …}\nid: 1.0.0.0.0.0.0.0\n\n',
            "text/event-stream",
        )
    )
    | {204: {"description": "The task is over, and nothing comes after `Last-Event-ID`"}},
)
async def events(
    status: VisibleTask,
    last: Annotated[Rank, Depends(rank_seen)],
    watch: Annotated[TaskWatch, Depends(watched)],
    parts: Parts,
) -> AsyncIterator[ServerSentEvent]:
    """Send the task's status now and after each change, until the task is over."""
    # Read again: a change between the first reading and the beginning of the watch reaches no watch.
    now = await parts.view.find(status.task_uuid)
    while now is not None:
        if rank(now) > last:
            last = rank(now)
            data = (await _described(now, parts)).model_dump_json(exclude_none=True)
            yield ServerSentEvent(raw_data=data, event="status", id=event_id(now))
        if now.state.is_final or parts.view.is_ending:
            return
        now = await watch.news()


async def _described(status: Status, parts: AppParts) -> TaskStatus:
    is_in_queue = status.state is State.QUEUED and status.next_try_at is None
    place = await parts.view.queue_place(status.at, status.priority) if is_in_queue else None
    return TaskStatus.of(await parts.links.renewed(status), place)
