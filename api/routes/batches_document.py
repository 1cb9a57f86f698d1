"""The routes of batches as the OpenAPI document describes them."""

from api.batches.models import EXAMPLE_BATCH, EXAMPLE_QUEUED, EXAMPLE_SUBMISSION, BatchSubmission
from api.batches.parsing import ITEMS_INVALID
from api.problems import MEDIA_TYPE, ItemProblem
from api.routes.responses import (
    SECONDS,
    Answers,
    answer,
    answers_about_tasks,
    answers_to_a_change,
    problem_answer,
    reference,
)
from api.routes.submit_document import ANSWERS as OF_ONE
from api.routes.submit_document import with_limits

REQUEST_BODY = {
    "required": True,
    "description": "JSON, whatever the content type is. One wrong item refuses the whole batch",
    "content": {"application/json": {"schema": reference(BatchSubmission), "example": EXAMPLE_SUBMISSION}},
}
_WRONG = "1 item is wrong, so nothing of the batch is queued; items[1]: audio: Field required"
_BAD = problem_answer(
    400,
    "The body or a header is wrong. With the `error_code` `items_invalid`, `problems` tells of each wrong "
    "item; nothing of the batch is queued",
    _WRONG,
    error_code=ITEMS_INVALID,
)
_BAD["content"][MEDIA_TYPE]["example"]["problems"] = [
    ItemProblem(index=1, error="audio: Field required").model_dump(exclude_none=True)
]
NO_SUCH_BATCH = problem_answer(
    404, "There is no such batch, or it is another user's", "There is no such batch"
)

SUBMITTED: Answers = {
    **{number: given for number, given in OF_ONE.items() if number not in (202, 415)},
    200: with_limits(
        answer(
            "All tasks are queued: the broker has confirmed them, now or at an earlier request with the same "
            "`Idempotency-Key`",
            EXAMPLE_QUEUED,
        )
    ),
    400: _BAD,
    413: problem_answer(
        413,
        "The body is larger than MAX_BATCH_BODY_BYTES",
        "The body is larger than 4194304 bytes, the limit by MAX_BATCH_BODY_BYTES",
    ),
    429: with_limits(
        problem_answer(
            429,
            "The queue has no room for the whole batch (`too_many_queued_by_user`, `too_many_queued`), a "
            "limit of yours has none (`too_many_running`, `audio_limit_reached`; with the `RateLimit` "
            "headers), too many batches are being submitted (`too_many_batches`), or too many wrong "
            "credentials came from this address",
            "You have 5 tasks in the queue, and 20 are allowed; please submit this batch of 18 later",
            error_code="too_many_queued_by_user",
            Retry_After=SECONDS,
        )
    ),
}
ABOUT_ONE: Answers = answers_about_tasks(
    answer("The batch. A batch that was submitted to any api before this request is found", EXAMPLE_BATCH)
) | {404: NO_SUCH_BATCH}
CANCEL: Answers = answers_to_a_change(
    answer("All cancellations are stored, or none is. The body is the batch as it is now", EXAMPLE_BATCH),
    problem_answer(409, "All tasks of the batch have ended", "All tasks of the batch have ended"),
    "The batch could not be cancelled in time; please try again",
) | {404: NO_SUCH_BATCH}
