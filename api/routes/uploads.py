"""`/uploads`: songs that go from users' disks straight into the bucket."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError

from api.http.body import read_body
from api.problems import ProblemError, explain
from api.routes.access import User
from api.routes.parts import Parts
from api.routes.responses import (
    FORBIDDEN,
    SECONDS,
    UNAUTHORIZED,
    UNEXPECTED,
    Answer,
    Answers,
    answer,
    problem_answer,
    reference,
)
from api.uploads.models import (
    EXAMPLE,
    EXAMPLE_BEGUN,
    BegunUpload,
    CompletedParts,
    NewUpload,
    UploadErrorCode,
    UploadStatus,
)

log = logging.getLogger(__name__)
router = APIRouter(prefix="/uploads", tags=["uploads"])

M = TypeVar("M", bound=BaseModel)

UPLOADS_OFF = problem_answer(
    501,
    "The api has no bucket, or no keys to it: it takes no uploads",
    "This api takes no uploads, since S3_BUCKET_NAME is not set: submit the song's address, or ask the "
    "operator",
    error_code=UploadErrorCode.OFF,
)
NO_SUCH_UPLOAD = problem_answer(
    404,
    "There is no such upload, or it is another user's",
    "There is no such upload",
    error_code=UploadErrorCode.UNKNOWN,
)
INCOMPLETE = problem_answer(
    409,
    "The song is not there yet (`upload_incomplete`)",
    "The upload is incomplete: PUT the song to its address, and complete an upload in parts",
    error_code=UploadErrorCode.INCOMPLETE,
)
_COMMON: Answers = {
    400: problem_answer(
        400,
        "The body or the id is wrong, or the song is not the announced one (`upload_mismatch`)",
        "bytes: Field required",
    ),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    429: problem_answer(
        429,
        "Your uploads hold as much as is allowed (`too_many_uploaded_bytes`), or too many wrong credentials "
        "came from this address",
        "Your uploads hold 21474836480 bytes, and 21474836480 are allowed (MAX_UPLOAD_BYTES_PER_USER): "
        "DELETE /uploads/… those that you no longer need, or wait until they expire",
        error_code=UploadErrorCode.TOO_MUCH,
        Retry_After=SECONDS,
    ),
    501: UPLOADS_OFF,
    503: problem_answer(
        503,
        "The store cannot be used at the moment, or too many sign-ins are being checked",
        "The store of songs cannot be used at the moment; please try again",
        error_code=UploadErrorCode.STORE_UNAVAILABLE,
        Retry_After=SECONDS,
    ),
    "default": UNEXPECTED,
}
_WITH_BODY: Answers = _COMMON | {
    408: problem_answer(
        408, "The body came too slowly", "The body did not arrive within 10 s; please send it again"
    ),
    413: problem_answer(
        413,
        "The song is larger than MAX_AUDIO_BYTES or MAX_UPLOAD_BYTES_PER_USER (`too_large`), "
        "or the body than MAX_BODY_BYTES",
        "The song is larger than 2147483648 bytes, the limit by MAX_AUDIO_BYTES",
        error_code=UploadErrorCode.TOO_LARGE,
    ),
}


def _json_body(model: type[M]) -> Callable[[Request, str, Any], Awaitable[M]]:
    """Return the dependency that reads a body within its bounds, after the sign-in."""

    async def read(request: Request, user: User, parts: Parts) -> M:
        body = await read_body(request, parts.settings.max_body_bytes)
        try:
            return model.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise ProblemError(400, explain(error.errors(include_url=False, include_input=False))) from None

    return read


def _documented(model: type[BaseModel], example: Mapping[str, Any], required: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": reference(model), "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def _about_one(status: int, success: Answer) -> Answers:
    return {status: success, **_COMMON, 404: NO_SUCH_UPLOAD}


@router.post(
    "",
    summary="Begin an upload",
    status_code=201,
    response_model_exclude_none=True,
    responses={
        201: answer(
            "The upload is begun. PUT the song to `url`, or its parts to theirs and then `complete` it",
            EXAMPLE_BEGUN,
        ),
        **_WITH_BODY,
    },
    openapi_extra=_documented(NewUpload, {"filename": "song.mp3", "bytes": 8_400_000}, required=True),
)
async def begin(
    user: User, wanted: Annotated[NewUpload, Depends(_json_body(NewUpload))], parts: Parts
) -> BegunUpload:
    """Get an address to which the song's file can be PUT, without credentials and without the api. From 64
    MiB on the song goes in parts, each to an address of its own."""
    begun = await parts.uploads.run(lambda store: store.begin(user, wanted))
    log.info("Upload %s begun by %s: %d bytes", begun.upload_id, user, begun.bytes)
    return begun


@router.post(
    "/{upload_id}/complete",
    summary="Complete an upload",
    response_model_exclude_none=True,
    responses={
        200: answer("The song is complete, now or since an earlier request", EXAMPLE),
        **_WITH_BODY,
        404: NO_SUCH_UPLOAD,
        409: INCOMPLETE,
    },
    openapi_extra=_documented(
        CompletedParts,
        {"parts": [{"number": 1, "etag": '"5d41402abc4b2a76b9719d911017c592"'}]},
        required=False,
    ),
)
async def complete(
    user: User,
    upload_id: UUID,
    given: Annotated[CompletedParts, Depends(_json_body(CompletedParts))],
    parts: Parts,
) -> UploadStatus:
    """Make one song of the parts that the store has. For an upload without parts, see whether the song is
    there."""
    return await parts.uploads.run(lambda store: store.complete(user, upload_id, given.parts))


@router.get(
    "/{upload_id}",
    summary="Look at an upload",
    response_model_exclude_none=True,
    responses=_about_one(200, answer("The upload, and which tasks need it", EXAMPLE)),
)
async def status(user: User, upload_id: UUID, parts: Parts) -> UploadStatus:
    """See whether an upload is complete, which tasks need it, and until when it is kept."""
    return await parts.uploads.run(lambda store: store.status(user, upload_id))


@router.delete(
    "/{upload_id}",
    summary="Delete an upload",
    status_code=204,
    responses={
        204: {"description": "The song is removed"},
        **_COMMON,
        404: NO_SUCH_UPLOAD,
        409: problem_answer(
            409,
            "A task that has not ended needs the song (`upload_in_use`)",
            "The upload is used by a task that has not ended; cancel it first, or wait",
            error_code=UploadErrorCode.IN_USE,
        ),
    },
)
async def remove(user: User, upload_id: UUID, parts: Parts) -> Response:
    """Remove an upload that no task needs any more, before it expires."""
    await parts.uploads.run(lambda store: store.remove(user, upload_id))
    log.info("Upload %s deleted by %s", upload_id, user)
    return Response(status_code=204)
