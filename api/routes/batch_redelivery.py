"""`POST /batches/{batch_uuid}/redeliver`: send a batch's callback again to a receiver that missed it."""

import logging
import time

from fastapi import APIRouter

from api.batches.ends import callback_of
from api.batches.models import EXAMPLE_BATCH, BatchStatus
from api.problems import ProblemError
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User, VisibleBatch
from api.routes.batches import described
from api.routes.batches_document import NO_SUCH_BATCH
from api.routes.parts import AppParts, Parts
from api.routes.redelivery import too_many_redeliveries
from api.routes.responses import answer, answers_to_a_change, problem_answer
from common.observability.log import current_request_id
from common.tasks.messages import BatchEnded, TaskBatch, item_uuids

log = logging.getLogger(__name__)
router = APIRouter(prefix="/batches", tags=["batches"])

_NOT_OVER = "The batch is not over: its callback is still to come"
_RUNS_AGAIN = "A task of the batch runs again: ask for the callback once the task has ended"
_NOBODY_TO_CALL = "The batch has no hook_url: there is no receiver to send the callback to"
_NOT_QUEUED = "The redelivery could not be queued in time; please ask for it again"

_ANSWERS = answers_to_a_change(
    answer(
        "The redelivery is queued: the broker has confirmed it. The body is the batch, with what has become "
        "of its callback so far",
        EXAMPLE_BATCH,
    ),
    problem_answer(409, "The batch is not over, a task of it runs again, or it has no `hook_url`", _NOT_OVER),
    _NOT_QUEUED,
) | {404: NO_SUCH_BATCH, 429: too_many_redeliveries("batch")}


@router.post(
    "/{batch_uuid}/redeliver",
    summary="Send a batch's callback again",
    status_code=202,
    response_model_exclude_none=True,
    responses=_ANSWERS,
)
async def redeliver_batch(found: VisibleBatch, user: User, parts: Parts) -> BatchStatus:
    """Send the callback of a batch that is over once more: the same bytes, the same `webhook-id`."""
    redelivery = await _redelivery_of(found, user, parts)
    with (
        parts.redelivery_limits.counted(user, found.batch_uuid, "batch"),
        confirmed_in_time("Redelivery not queued", _NOT_QUEUED),
    ):
        await parts.publisher.publish(redelivery)
    log.info("Redelivery queued for %s: the callback of batch %s", user, found.batch_uuid)
    return await described(found, parts, 0, 100)


async def _redelivery_of(batch: TaskBatch, user: str, parts: AppParts) -> BatchEnded:
    """Raise ProblemError 409 where the callback is still to come, or has no receiver."""
    if batch.hook_url is None:
        raise ProblemError(409, _NOBODY_TO_CALL, batch_uuid=batch.batch_uuid)
    if batch.ended_at is None:
        raise ProblemError(409, _NOT_OVER, batch_uuid=batch.batch_uuid)
    # The bytes that went out before are in the store. These count only if an uploader has never come so far.
    body = callback_of(batch, await parts.view.statuses(item_uuids(batch.batch_uuid, 0, batch.count)))
    if body is None:
        raise ProblemError(409, _RUNS_AGAIN, batch_uuid=batch.batch_uuid)
    return BatchEnded(
        batch_uuid=batch.batch_uuid,
        hook_url=batch.hook_url,
        requested_at=time.time(),
        user=user,
        request_id=current_request_id(),
        callback=body,
        is_redelivery=True,
    )
