"""`GET /tasks…`: where a job is, for the user whose it is and for those who look after all."""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response, Security
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import task_documentation as documentation
from api.auth.basic_auth import BasicAuth
from api.links.renewer import FreshLinks
from api.problems import problem
from api.routes.access import visible_task
from api.routes.models import (
    Deliveries,
    Delivery,
    TaskPage,
    TaskStatus,
    decode_cursor,
    encode_cursor,
    event_id,
    seen,
)
from api.view import reader
from api.view.merge import Rank, rank
from api.view.view import TaskView, ViewUnavailable
from common.settings.schema import ApiSettings
from common.tasks.messages import State, Status

_RETRY_AFTER_S = 2

Seconds = Annotated[float | None, Query(allow_inf_nan=False, description="seconds since the epoch")]
KeyFilter = Annotated[
    str | None,
    Query(min_length=1, max_length=255, pattern="^[!-~]+$", description="the one that it was submitted with"),
]


class NothingMore(Exception):
    """A stream's client has seen all that there will ever be."""


def install(app: FastAPI) -> None:
    """What the routes below end in besides answers and problems."""

    @app.exception_handler(NothingMore)
    async def on_nothing_more(_: Request, __: NothingMore) -> Response:
        return Response(status_code=204)  # the one answer after which an EventSource does not come again

    @app.exception_handler(ViewUnavailable)
    async def on_unavailable(_: Request, error: ViewUnavailable) -> Response:
        detail = f"What is known of tasks is not up to date yet; please try again: {error}"
        return problem(503, detail, headers={"Retry-After": str(_RETRY_AFTER_S)})


def make_tasks_router(settings: ApiSettings, view: TaskView, auth: BasicAuth, links: FreshLinks) -> APIRouter:
    router = APIRouter(prefix="/tasks")

    Visible = Annotated[Status, Depends(visible_task(settings, view, auth))]

    async def described(status: Status) -> TaskStatus:
        waits = status.state is State.QUEUED and status.next_try_at is None
        place = await view.queue_place(status.at) if waits else None
        return TaskStatus.of(await links.renewed(status), place)

    @router.get("", response_model_exclude_none=True, **documentation.LIST)
    async def tasks(
        user: Annotated[str, Security(auth)],
        state: State | None = None,
        idempotency_key: KeyFilter = None,
        submitted_since: Seconds = None,
        submitted_before: Seconds = None,
        cursor: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> TaskPage:
        """Your tasks, the newest first; all tasks for those in `ADMIN_USERNAMES`."""
        found = await view.page(
            reader.Query(
                user=None if user in settings.admin_usernames else user,
                state=state,
                idempotency_key=idempotency_key,
                since=submitted_since,
                until=submitted_before,
                after=decode_cursor(cursor) if cursor is not None else None,
                limit=limit + 1,
            )
        )
        page = found[:limit]
        following = None
        if len(found) > limit:
            asked = {
                "state": state,
                "idempotency_key": idempotency_key,
                "submitted_since": submitted_since,
                "submitted_before": submitted_before,
                "limit": limit,
                "cursor": encode_cursor(page[-1]),
            }
            given = {name: value for name, value in asked.items() if value is not None}
            following = f"/tasks?{urlencode(given)}"
        return TaskPage(tasks=[TaskStatus.of(status) for status in page], next=following)

    @router.get("/{task_uuid}", response_model_exclude_none=True, **documentation.TASK)
    async def task(status: Visible) -> TaskStatus:
        """How far the task is."""
        return await described(status)

    @router.get("/{task_uuid}/deliveries", response_model_exclude_none=True, **documentation.DELIVERIES)
    async def deliveries(status: Visible) -> Deliveries:
        """What became of the task's callbacks."""
        attempts = await view.deliveries(status.task_uuid)
        return Deliveries(deliveries=[Delivery.of(attempt) for attempt in attempts])

    async def not_seen(
        status: Visible,
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=255)] = None,
    ) -> Rank:
        """What the client has seen. Decided before the answer begins, which then is 200."""
        last = seen(last_event_id)
        if status.state.is_final and last >= rank(status):
            raise NothingMore
        return last

    @router.get("/{task_uuid}/events", response_class=EventSourceResponse, **documentation.EVENTS)
    async def events(
        status: Visible, last: Annotated[Rank, Depends(not_seen)]
    ) -> AsyncIterator[ServerSentEvent]:
        """The task's status now, and again with each change, until it is over."""
        with view.watch(status.task_uuid) as watch:
            # Asked once more: what was told before there was this watch is told to nobody again.
            now = await view.find(status.task_uuid)
            while now is not None:
                if rank(now) > last:
                    last = rank(now)
                    data = (await described(now)).model_dump_json(exclude_none=True)
                    yield ServerSentEvent(raw_data=data, event="status", id=event_id(now))
                if now.state.is_final or view.is_ending:
                    return
                now = await watch.news()

    return router
