"""`/batches`: submit many songs at once, see how far they are, and cancel them."""

import logging
import time
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from api.batches.models import (
    BatchItem,
    BatchStatus,
    QueuedBatch,
    QueuedItem,
)
from api.batches.parsing import ParsedBatch, parse_batch
from api.batches.records import records_of_cancels
from api.batches.states import count_states
from api.http.body import read_body
from api.problems import ProblemError
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User, VisibleBatch
from api.routes.batches_document import ABOUT_ONE, CANCEL, REQUEST_BODY, SUBMITTED
from api.routes.direct import SIGNED_IN, DirectRoute
from api.routes.parts import AppParts, Parts, parts_of
from api.routes.submit import key_of, task_of
from api.routes.submit_document import KEY_PARAMETER
from api.submit.admission import Admitted
from api.submit.submission import batch_uuid as batch_uuid_of
from api.submit.unknown_fields import shown
from common.observability.log import current_request_id
from common.outbound.addresses import without_secrets
from common.tasks.messages import Cancel, Task, TaskBatch, item_uuids

log = logging.getLogger(__name__)
router = APIRouter(prefix="/batches", tags=["batches"])
submit_router = APIRouter(tags=["batches"], route_class=DirectRoute)

_NOT_QUEUED = "The batch could not be queued in time; please submit it again"
_NOT_CANCELLED = "The batch could not be cancelled in time; please try again"


@submit_router.post(
    "/batches",
    summary="Submit many songs",
    response_model=QueuedBatch,
    openapi_extra={**SIGNED_IN, "parameters": [KEY_PARAMETER], "requestBody": REQUEST_BODY},
    responses=SUBMITTED,
)
async def submit_batch(request: Request) -> Response:
    """Queue all songs, or none. The answer has the tasks in the order of the items."""
    parts = parts_of(request)
    user = await parts.auth.user_of(request)
    key = key_of(request)
    with parts.batches.counted(user):
        body = await read_body(request, parts.settings.max_batch_body_bytes, limit="MAX_BATCH_BODY_BYTES")
        parsed = await parse_batch(body, parts.policy)
        del body
        batch = _batch_of(parsed, user, key)
        tasks = _tasks_of(parsed, batch)
        with confirmed_in_time("Batch not queued", _NOT_QUEUED):
            admitted = await parts.batches.admit(batch, tasks, parsed)
    if admitted is Admitted.NOW:
        parts.metrics.tasks_queued.inc(batch.count)
    _log(batch, admitted, parsed.ignored)
    headers = await parts.quotas.headers(user)
    queued = QueuedBatch(
        batch_uuid=batch.batch_uuid,
        tasks=[
            QueuedItem(task_uuid=task.task_uuid, ignored=list(item.ignored) or None)
            for task, item in zip(tasks, parsed.items, strict=True)
        ],
        ignored=list(parsed.ignored) or None,
    )
    return Response(queued.model_dump_json(exclude_none=True), media_type="application/json", headers=headers)


@router.get(
    "/{batch_uuid}",
    summary="Where a batch is",
    response_model_exclude_none=True,
    responses=ABOUT_ONE,
)
async def batch(
    found: VisibleBatch,
    parts: Parts,
    offset: Annotated[int, Query(ge=0, le=1000, description="the first item of the page")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> BatchStatus:
    """Return how many of the batch's tasks are in which state, and a page of the tasks."""
    return await described(found, parts, offset, limit)


@router.post(
    "/{batch_uuid}/cancel",
    summary="Cancel a batch",
    status_code=202,
    response_model_exclude_none=True,
    responses=CANCEL,
)
async def cancel_batch(found: VisibleBatch, user: User, parts: Parts) -> BatchStatus:
    """End all tasks of the batch that have not ended. The answer comes once all cancellations are stored."""
    ids = item_uuids(found.batch_uuid, 0, found.count)
    known = await parts.view.statuses(ids)
    running = [one for one in ids if one not in known or not known[one].state.is_final]
    if not running:
        raise ProblemError(409, "All tasks of the batch have ended", batch_uuid=found.batch_uuid)
    now_s = time.time()
    cancels = [
        Cancel(
            task_uuid=one,
            run=known[one].run if one in known else 1,
            requested_at=now_s,
            user=user,
            request_id=current_request_id(),
        )
        for one in running
    ]
    with confirmed_in_time("Batch not cancelled", _NOT_CANCELLED):
        await parts.together.publish(records_of_cancels(cancels, parts.settings))
    log.info("Batch %s cancelled by %s: %d tasks", found.batch_uuid, user, len(cancels))
    return await described(found, parts, 0, 100)


async def described(found: TaskBatch, parts: AppParts, offset: int, limit: int) -> BatchStatus:
    """Return the batch with the page of `limit` tasks from `offset` on. Raise ViewUnavailable."""
    states = await parts.view.states(item_uuids(found.batch_uuid, 0, found.count))
    end = min(found.count, offset + limit)
    ids = item_uuids(found.batch_uuid, offset, end)
    known = await parts.view.statuses(ids)
    items = [BatchItem.of(index, one, known.get(one)) for index, one in enumerate(ids, offset)]
    following = None
    if end < found.count:
        following = f"/batches/{found.batch_uuid}?{urlencode({'offset': end, 'limit': limit})}"
    attempts = [] if found.hook_url is None else await parts.view.deliveries(found.batch_uuid)
    return BatchStatus.of(found, count_states(found, states), items, attempts, following)


def _batch_of(parsed: ParsedBatch, user: str, key: str | None) -> TaskBatch:
    return TaskBatch(
        batch_uuid=batch_uuid_of(user, key),
        count=len(parsed.items),
        submitted_at=time.time(),
        user=user,
        request_id=current_request_id(),
        hook_url=parsed.hook_url,
        metadata=parsed.metadata,
        idempotency_key=key,
        submission_digest=None if key is None else parsed.digest,
    )


def _tasks_of(parsed: ParsedBatch, batch: TaskBatch) -> list[Task]:
    ids = item_uuids(batch.batch_uuid, 0, batch.count)
    return [
        task_of(item.submission, batch.user, None, given_uuid=task_uuid)
        for item, task_uuid in zip(parsed.items, ids, strict=True)
    ]


def _log(batch: TaskBatch, admitted: Admitted, ignored: tuple[str, ...]) -> None:
    if ignored:
        log.info("Fields of the batch ignored, since they are not known: %s", shown(ignored))
    if admitted is Admitted.BEFORE:
        log.info("Batch %s submitted again by %s: nothing is queued", batch.batch_uuid, batch.user)
        return
    called = "nobody" if batch.hook_url is None else without_secrets(batch.hook_url)
    what = batch.batch_uuid, batch.count, batch.user, called
    log.info("Batch %s of %d tasks queued for %s, callback to %s", *what)
