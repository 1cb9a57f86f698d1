"""What a client submits, and the task that it becomes."""

import json
import re
from hashlib import sha256
from uuid import UUID, uuid4, uuid5

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.problems import ProblemError, explain
from api.submit.unknown_fields import unknown_fields
from common.errors import PermanentError
from common.outbound.addresses import AddressPolicy, validate_text

# Fixed for ever: a repeated Idempotency-Key finds its task by it.
_NAMESPACE = UUID("c0dea8cc-335b-464b-a198-1e5cde22127c")

_MAX_CANCEL_AFTER_S = 30 * 24 * 3600
NOT_JSON = (
    'Songs are not uploaded here: send JSON with the address of the song, such as {"audio": '
    '"https://example.com/song.mp3"}, with the content type application/json'
)
# Programs send JSON under any other type; what is sent so is a file.
_FILE = re.compile(r"\s*(multipart|audio|video|image|font|model)/", re.IGNORECASE)


class Submission(BaseModel):
    """The body of `POST /generate`. Fields that are not known are left aside, and named in the answer."""

    # In the document: further fields are taken.
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    audio: str = Field(
        description="address of the song: http or https, public", examples=["https://example.com/song.mp3"]
    )
    hook_url: str | None = Field(
        None,
        description="address that the callback is POSTed to; without one nobody is called",
        examples=["https://example.com/hook"],
    )
    cancel_after_s: float | None = Field(
        None,
        gt=0,
        le=_MAX_CANCEL_AFTER_S,
        allow_inf_nan=False,
        strict=True,
        description="the task fails as `deadline_exceeded` when it has no stems so many seconds after it was "
        "submitted",
        examples=[3600],
    )


class Queued(BaseModel):
    """The answer once the task is safely queued."""

    message: str = "Task has been queued for processing"
    status: str = "queued"
    task_uuid: UUID = Field(description="names the task in the callback and in the logs")
    ignored: list[str] | None = Field(
        None, description="the fields of the body that the api does not know, where there are any"
    )


def refuse_files(request: Request) -> None:
    """Raises ProblemError for a body that is said to be a file or a form with one. Reads nothing of it."""
    if _FILE.match(request.headers.get("Content-Type", "")):
        raise ProblemError(
            415,
            NOT_JSON,
            headers={"Accept": "application/json"},
        )


def parse(body: bytes, policy: AddressPolicy) -> tuple[Submission, tuple[str, ...]]:
    """The submission, and the names of the fields that are not known.

    Raises ProblemError, with the `error_code` of a field that is misspelt or an address that is invalid or
    blocked.
    """
    ignored = unknown_fields(body, Submission.model_fields)
    try:
        submission = Submission.model_validate_json(body)
    except ValidationError as error:
        raise ProblemError(400, explain(error.errors(include_url=False, include_input=False))) from None
    for name, address in (("audio", submission.audio), ("hook_url", submission.hook_url)):
        if address is None:
            continue
        try:
            validate_text(address, policy)
        except PermanentError as error:
            raise ProblemError(400, f"{name}: {error.message}", error_code=error.code) from None
    return submission, ignored


def digest(submission: Submission) -> str:
    """The same for submissions that ask for the same, however their bodies are written."""
    # What is as if it had not been said is left out, so that fields to come change nothing.
    fields = submission.model_dump(mode="json", exclude_defaults=True)
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def task_uuid(user: str, idempotency_key: str | None) -> UUID:
    """The same for the same user and key, else a new one."""
    if idempotency_key is None:
        return uuid4()
    # A name in HTTP Basic holds no colon, so no other user and key can give this text.
    return uuid5(_NAMESPACE, f"{user}:{idempotency_key}")
