"""`POST /generate` as the OpenAPI document describes it."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, TypeAdapter

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
from api.routes.uploads import NO_SUCH_UPLOAD, UPLOADS_OFF
from api.routes.waiting import documented
from api.submit.submission import NOT_JSON, Queued, Submission
from api.uploads.models import UploadErrorCode
from common.storage.upload_record import SHA256

KEY = "Idempotency-Key"
KEY_ADAPTER: TypeAdapter[str] = TypeAdapter(
    Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]
)
_KEY_DESCRIPTION = (
    "A repeated request with the same key by the same user is the same task, which is not queued again. A "
    "repeated request with another body is refused."
)
KEY_PARAMETER = {
    "name": KEY,
    "in": "header",
    "required": False,
    "schema": {
        "anyOf": [KEY_ADAPTER.json_schema(), {"type": "null"}],
        "description": _KEY_DESCRIPTION,
        "title": KEY,
    },
    "description": _KEY_DESCRIPTION,
}
# `required` is false: without a limit there are no such headers.
_LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "required": False,
        "description": "only where a limit of yours applies: what is allowed",
        "example": '"running";q=100;qu="concurrent-requests"',
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "required": False,
        "description": "only where a limit of yours applies: what is left of it",
        "example": '"running";r=97',
    },
}
NOT_QUEUED = "The task could not be queued in time; please submit it again"
_TASK_UUID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_SONG = "https://example.com/song.mp3"
REQUEST_BODY = {
    "required": True,
    "description": "JSON, whatever the content type is, unless the content type is that of a file; or a form "
    "with the song's file in the field `audio`. Unknown fields are ignored and named in the answer; a field "
    "that is nearly a known one is refused",
    "content": {
        "application/json": {
            "schema": reference(Submission),
            "examples": {
                "a song": {"value": {"audio": _SONG}},
                "a song and a callback": {"value": {"audio": _SONG, "hook_url": "https://example.com/hook"}},
                "an hour at most": {"value": {"audio": _SONG, "cancel_after_s": 3600}},
                "before all others": {"value": {"audio": _SONG, "priority": 5}},
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
                "an upload": {"value": {"audio": "upload:5f0c6a4e-9d0b-4f63-8f0a-0c7b8f1d2a3e"}},
            },
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["audio"],
                "properties": {
                    "audio": {
                        "type": "string",
                        "format": "binary",
                        "description": "the song's file",
                    },
                    "sha256": {
                        "type": "string",
                        "pattern": SHA256,
                        "description": "the file's checksum in hexadecimal, which the api compares",
                    },
                },
                # Of no type: whatever is sent in a form is text.
                "additionalProperties": {
                    "description": "the fields of the JSON body: text, or JSON for objects and lists; the "
                    "field of a list may be repeated",
                },
            }
        },
    },
}


def with_limits(given: Answer) -> Answer:
    """Return the description of an answer that also tells what is left of the user's limits."""
    return {**given, "headers": {**given.get("headers", {}), **_LIMIT_HEADERS}}


ANSWERS: Answers = {
    200: with_limits(
        answer(
            "The task is queued: the broker has confirmed it, now or at an earlier request with the same "
            "`Idempotency-Key`",
            Queued(task_uuid=_TASK_UUID),
        )
    ),
    202: with_limits(
        documented(
            "Only with `Prefer: wait=N`: the task is queued, and has not ended by then. With that preference "
            "a 200 has the ended task, as `GET /tasks/{task_uuid}` does",
            Queued(task_uuid=_TASK_UUID),
            has_preference=True,
        )
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
        "The `Idempotency-Key` belongs to `task_uuid`, which was submitted with another body (`key_reused`), "
        "or the upload has no song yet (`upload_incomplete`)",
        f"This Idempotency-Key belongs to task {_TASK_UUID}, which was submitted with another body: "
        "use a new key",
        error_code="key_reused",
        task_uuid=_TASK_UUID,
    ),
    404: NO_SUCH_UPLOAD,
    408: problem_answer(
        408,
        "The body came too slowly: JSON within 10 s, a form less than MIN_UPLOAD_BYTES_PER_S",
        "The body did not arrive within 10 s; please send it again",
    ),
    410: problem_answer(
        410,
        "The upload has expired",
        "The upload has expired: upload the song again",
        error_code=UploadErrorCode.EXPIRED,
    ),
    413: problem_answer(
        413,
        "The body is larger than MAX_BODY_BYTES, or the song than MAX_AUDIO_BYTES or "
        "MAX_UPLOAD_BYTES_PER_USER (`too_large`)",
        "The body is larger than 65536 bytes, the limit by MAX_BODY_BYTES",
    ),
    415: problem_answer(415, "The body is a bare file: it must be JSON, or a form with the file", NOT_JSON),
    429: with_limits(
        problem_answer(
            429,
            "Too many tasks are queued: yours (`error_code` `too_many_queued_by_user`) or all "
            "(`too_many_queued`). `Retry-After` estimates when there is room. Or a limit of yours is reached "
            "(`too_many_running`, `audio_limit_reached`), with the `RateLimit` headers. Or your uploads hold "
            "as much as is allowed (`too_many_uploaded_bytes`), too many songs are being uploaded "
            "(`too_many_uploads`), or too many wrong credentials came from this address",
            "You have 20 tasks in the queue, and 20 are allowed; please submit this one later",
            error_code="too_many_queued_by_user",
            Retry_After=SECONDS,
        )
    ),
    501: UPLOADS_OFF,
    503: problem_answer(
        503,
        "Kafka has not confirmed the task in time. It may be processed nevertheless: with an "
        "`Idempotency-Key` a repeated request is the same task. If it was not sent, as while Kafka is away, "
        "nothing of a form is kept. Or the store cannot be used "
        "(`store_unavailable`), or too many sign-ins are being checked",
        NOT_QUEUED,
        Retry_After=SECONDS,
    ),
    "default": UNEXPECTED,
}
