"""`POST /generate`: submit a song."""

import logging
import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter, ValidationError

from api.http.body import read_body
from api.problems import ProblemError, explain
from api.publishing.unavailable import confirmed_in_time
from api.routes.direct import SIGNED_IN, DirectRoute
from api.routes.parts import parts_of
from api.routes.responses import (
    FORBIDDEN,
    SECONDS,
    UNAUTHORIZED,
    UNEXPECTED,
    Answers,
    answer,
    problem_answer,
    reference,
)
from api.submit.admission import Admitted
from api.submit.submission import (
    NOT_JSON,
    PlainSubmission,
    Queued,
    Submission,
    digest,
    parse,
    refuse_files,
    task_uuid,
)
from api.submit.unknown_fields import shown
from common.observability.log import current_request_id, task_context
from common.outbound.addresses import without_secrets
from common.tasks.messages import Task

log = logging.getLogger(__name__)
router = APIRouter(tags=["tasks"], route_class=DirectRoute)

_KEY = "Idempotency-Key"
_KEY_ADAPTER: TypeAdapter[str] = TypeAdapter(
    Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]
)
_KEY_DESCRIPTION = (
    "A repeated request with the same key by the same user is the same task, which is not queued again. A "
    "repeated request with another body is refused."
)
_KEY_PARAMETER = {
    "name": _KEY,
    "in": "header",
    "required": False,
    "schema": {
        "anyOf": [_KEY_ADAPTER.json_schema(), {"type": "null"}],
        "description": _KEY_DESCRIPTION,
        "title": _KEY,
    },
    "description": _KEY_DESCRIPTION,
    "examples": {"an order's number": {"value": "order-17"}},
}
_NOT_QUEUED = "The task could not be queued in time; please submit it again"
_TASK_UUID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_SONG = "https://example.com/song.mp3"
_REQUEST_BODY = {
    "required": True,
    "description": "JSON, whatever the content type is, unless the content type is that of a file. Unknown "
    "fields are ignored and named in the answer; a field that is nearly a known one is refused",
    "content": {
        "application/json": {
            "schema": reference(Submission),
            "examples": {
                "a song": {"value": {"audio": _SONG}},
                "a song and a callback": {"value": {"audio": _SONG, "hook_url": "https://example.com/hook"}},
                "an hour at most": {"value": {"audio": _SONG, "cancel_after_s": 3600}},
                "the vocals alone, by the best preset": {
                    "value": {"audio": _SONG, "preset": "best", "stems": ["vocals"]}
                },
                "mp3, named for people": {
                    "value": {
                        "audio": _SONG,
                        "output": {"format": "mp3", "bitrate_kbps": 192, "tags": "keep"},
                        "label": "Artist - Title",
                        "metadata": {"order": 17},
                    }
                },
                "thirty seconds, as the song was sampled": {
                    "value": {
                        "audio": _SONG,
                        "output": {"bit_depth": 24, "sample_rate": "source"},
                        "start_s": 60,
                        "duration_s": 30,
                    }
                },
            },
        }
    },
}
_ANSWERS: Answers = {
    200: answer(
        "The task is queued: the broker has confirmed it, now or at an earlier request with the same "
        "`Idempotency-Key`",
        Queued(task_uuid=_TASK_UUID),
    ),
    400: problem_answer(
        400,
        "The body, an address in the body or a header is wrong, a field is misspelt (`field_unknown`), "
        "fields contradict each other (`choices_contradict`), or no processor has what was chosen "
        "(`model_unknown`, `preset_unknown`, `stem_unknown`)",
        "audio: The address is not valid: it must begin with http:// or https://",
        error_code="address_invalid",
    ),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    409: problem_answer(
        409,
        "The `Idempotency-Key` belongs to `task_uuid`, which was submitted with another body",
        f"This Idempotency-Key belongs to task {_TASK_UUID}, which was submitted with another body: "
        "use a new key",
        error_code="key_reused",
        task_uuid=_TASK_UUID,
    ),
    408: problem_answer(
        408, "The body came too slowly", "The body did not arrive within 10 s; please send it again"
    ),
    413: problem_answer(
        413, "The body is too large", "The body is larger than 65536 bytes, the limit by MAX_BODY_BYTES"
    ),
    415: problem_answer(415, "The body is a file, or a form with a file: it must be JSON", NOT_JSON),
    429: problem_answer(
        429,
        "Too many tasks are queued: yours (`error_code` `too_many_queued_by_user`) or all "
        "(`too_many_queued`). `Retry-After` estimates when there is room. Or too many wrong credentials came "
        "from this address",
        "You have 20 tasks in the queue, and 20 are allowed; please submit this one later",
        error_code="too_many_queued_by_user",
        Retry_After=SECONDS,
    ),
    503: problem_answer(
        503,
        "Kafka has not confirmed the task in time. It may be processed nevertheless: with an "
        "`Idempotency-Key` a repeated request is the same task. Or too many sign-ins are being checked",
        _NOT_QUEUED,
        Retry_After=SECONDS,
    ),
    "default": UNEXPECTED,
}


@router.post(
    "/generate",
    summary="Submit a song",
    response_model=Queued,
    openapi_extra={**SIGNED_IN, "parameters": [_KEY_PARAMETER], "requestBody": _REQUEST_BODY},
    responses=_ANSWERS,
)
async def generate(request: Request) -> Response:
    """Queue a song for separation. The answer comes once the task is safely stored."""
    parts = parts_of(request)
    user = await parts.auth.user_of(request)
    idempotency_key = _key_of(request)
    refuse_files(request)
    submission, ignored = parse(await read_body(request, parts.settings.max_body_bytes), parts.policy)
    task = _task_of(submission, user, idempotency_key)
    with task_context(task.task_uuid):
        with confirmed_in_time("Task not queued", _NOT_QUEUED):
            admitted = await parts.admission.admit(task)
        if admitted is Admitted.NOW:
            parts.metrics.tasks_queued.inc()
        _log(task, admitted, ignored)
    queued = Queued(task_uuid=task.task_uuid, ignored=list(ignored) or None)
    return Response(queued.model_dump_json(exclude_none=True), media_type="application/json")


def _key_of(request: Request) -> str | None:
    """Return the Idempotency-Key, or None. Raise ProblemError 400 for a key that is no visible ASCII."""
    key = request.headers.get(_KEY)
    if key is None:
        return None
    try:
        return _KEY_ADAPTER.validate_python(key)
    except ValidationError as error:
        raise ProblemError(400, f"{_KEY}: {explain(error.errors(include_url=False))}") from None


def _task_of(submission: PlainSubmission, user: str, idempotency_key: str | None) -> Task:
    chosen: dict[str, Any] = {}
    if isinstance(submission, Submission):
        named = {"label": submission.label, "metadata": submission.metadata, "cache": submission.cache}
        chosen = {"choices": submission.choices, **named}
    submitted_at, cancel_after_s = time.time(), submission.cancel_after_s
    return Task(
        task_uuid=task_uuid(user, idempotency_key),
        audio=submission.audio,
        hook_url=submission.hook_url,
        submitted_at=submitted_at,
        user=user,
        request_id=current_request_id(),
        idempotency_key=idempotency_key,
        submission_digest=None if idempotency_key is None else digest(submission),
        cancel_at=None if cancel_after_s is None else submitted_at + cancel_after_s,
        **chosen,
    )


def _log(task: Task, admitted: Admitted, ignored: Sequence[str]) -> None:
    if ignored:
        log.info("Fields ignored, since they are not known: %s", shown(ignored))
    if admitted is Admitted.BEFORE:
        log.info("Task submitted again by %s: nothing is queued", task.user)
        return
    log.info(
        "Task queued for %s: audio %s, callback to %s",
        task.user,
        without_secrets(task.audio),
        "nobody" if task.hook_url is None else without_secrets(task.hook_url),
    )
    if task.choices is not None:
        log.info("Chosen: %s", task.choices.to_bytes().decode())
