"""`POST /generate`: submit a song."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api.http.body import read_body
from api.problems import ProblemError, explain
from api.publishing.unavailable import Unconfirmed, confirmed_in_time
from api.routes.direct import SIGNED_IN, DirectRoute
from api.routes.models import TaskStatus
from api.routes.parts import AppParts, parts_of
from api.routes.submit_document import ANSWERS, KEY, KEY_ADAPTER, KEY_PARAMETER, NOT_QUEUED, REQUEST_BODY
from api.routes.submit_form import received_form
from api.routes.waiting import PREFER_PARAMETER, applied, location_of, preferred_wait_s
from api.submit.admission import Admitted
from api.submit.submission import (
    PlainSubmission,
    Queued,
    Submission,
    digest,
    is_form,
    parse,
    refuse_files,
    song_of,
    task_uuid,
)
from api.submit.unknown_fields import shown
from common.observability.log import current_request_id, task_context
from common.outbound.addresses import without_secrets
from common.tasks.audio import shown_audio
from common.tasks.messages import Task

log = logging.getLogger(__name__)
router = APIRouter(tags=["tasks"], route_class=DirectRoute)


@router.post(
    "/generate",
    summary="Submit a song",
    response_model=Queued,
    openapi_extra={**SIGNED_IN, "parameters": [KEY_PARAMETER, PREFER_PARAMETER], "requestBody": REQUEST_BODY},
    responses=ANSWERS,
)
async def generate(request: Request) -> Response:
    """Queue a song for separation. The answer comes once the task is safely stored. With `Prefer: wait=N` it
    comes once the task has ended."""
    parts = parts_of(request)
    user = await parts.auth.user_of(request)
    idempotency_key = key_of(request)
    if is_form(request):
        queued = await _generate_from_form(request, parts, user, idempotency_key)
    else:
        refuse_files(request)
        submission, ignored = parse(await read_body(request, parts.settings.max_body_bytes), parts.policy)
        task = task_of(submission, user, idempotency_key)
        await _admit(parts, task, ignored, submission)
        queued = Queued(task_uuid=task.task_uuid, ignored=list(ignored) or None)
    headers = await parts.quotas.headers(user)
    if wait_s := preferred_wait_s(request):
        return await _waited(request, parts, queued, wait_s, headers)
    return Response(queued.model_dump_json(exclude_none=True), media_type="application/json", headers=headers)


async def _waited(
    request: Request, parts: AppParts, queued: Queued, wait_s: int, limits: Mapping[str, str]
) -> Response:
    """Return the task once it has ended, else after `wait_s` seconds the answer of a submission, as 202."""
    headers = {**limits, **applied(wait_s)}
    ended = await parts.waiters.end_of(queued.task_uuid, wait_s, parts.view, request)
    if ended is None:
        content, headers = queued.model_dump_json(exclude_none=True), headers | location_of(queued.task_uuid)
        return Response(content, 202, headers, media_type="application/json")
    status = TaskStatus.of(await parts.links.renewed(ended)).model_copy(update={"ignored": queued.ignored})
    return Response(status.model_dump_json(exclude_none=True), 200, headers, media_type="application/json")


async def _generate_from_form(request: Request, parts: AppParts, user: str, key: str | None) -> Queued:
    """Queue the song that comes with the form. Of a form that becomes no task nothing is kept."""
    async with received_form(request, user, parts) as form:
        try:
            submission, ignored = parse(form.body, parts.policy)
            # The same song has another id each time that it is uploaded.
            task = task_of(submission, user, key, song=song_of(form.upload.sha256))
            admitted = await _admit(parts, task, ignored, submission)
        except Unconfirmed:  # the task may be queued nevertheless
            raise
        except ProblemError:
            await form.discard()
            raise
        if admitted is Admitted.BEFORE:
            await form.discard()
            return Queued(task_uuid=task.task_uuid, ignored=list(ignored) or None)
        return Queued(task_uuid=task.task_uuid, audio=task.audio, ignored=list(ignored) or None)


async def _admit(
    parts: AppParts, task: Task, ignored: Sequence[str], submission: PlainSubmission
) -> Admitted:
    with task_context(task.task_uuid):
        with confirmed_in_time("Task not queued", NOT_QUEUED):
            admitted = await parts.admission.admit(task, partial(digest, submission))
        if admitted is Admitted.NOW:
            parts.metrics.tasks_queued.inc()
        _log(task, admitted, ignored)
    return admitted


def key_of(request: Request) -> str | None:
    """Return the Idempotency-Key, or None. Raise ProblemError 400 for a key that is no visible ASCII."""
    key = request.headers.get(KEY)
    if key is None:
        return None
    try:
        return KEY_ADAPTER.validate_python(key)
    except ValidationError as error:
        raise ProblemError(400, f"{KEY}: {explain(error.errors(include_url=False))}") from None


def task_of(
    submission: PlainSubmission,
    user: str,
    idempotency_key: str | None,
    song: str | None = None,
    given_uuid: UUID | None = None,
) -> Task:
    """Return the task. `song` is as in `digest`. Without `given_uuid` the id follows from user and key."""
    chosen: dict[str, Any] = {}
    if isinstance(submission, Submission):
        named = {"label": submission.label, "metadata": submission.metadata, "cache": submission.cache}
        events = {"hook_events": submission.hook_events}
        chosen = {"choices": submission.choices, "priority": submission.priority, **named, **events}
    submitted_at, cancel_after_s = time.time(), submission.cancel_after_s
    return Task(
        task_uuid=given_uuid or task_uuid(user, idempotency_key),
        audio=submission.audio,
        hook_url=submission.hook_url,
        submitted_at=submitted_at,
        user=user,
        request_id=current_request_id(),
        idempotency_key=idempotency_key,
        submission_digest=None if idempotency_key is None else digest(submission, song),
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
        shown_audio(task.audio),
        "nobody" if task.hook_url is None else without_secrets(task.hook_url),
    )
    if task.choices is not None:
        log.info("Chosen: %s", task.choices.to_bytes().decode())
