"""The body of a submission, its checks, and the id of its task."""

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

# Never changes: the ids of tasks with an Idempotency-Key follow from this.
_NAMESPACE = UUID("c0dea8cc-335b-464b-a198-1e5cde22127c")

_MAX_CANCEL_AFTER_S = 30 * 24 * 3600
NOT_JSON = (
    'Songs are not uploaded here: send JSON with the address of the song, such as {"audio": '
    '"https://example.com/song.mp3"}, with the content type application/json'
)
# Programs send JSON under any content type but these, under which only files are sent.
_FILE = re.compile(r"\s*(multipart|audio|video|image|font|model)/", re.IGNORECASE)


class Submission(BaseModel):
    """The body of `POST /generate`. Unknown fields are ignored, and named in the answer."""

    # For the OpenAPI document: further fields are accepted.
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    audio: str = Field(
        description="address of the song: http or https, public", examples=["https://example.com/song.mp3"]
    )
    hook_url: str | None = Field(
        None,
        description="address that the callback is POSTed to; without it there is no callback",
        examples=["https://example.com/hook"],
    )
    cancel_after_s: float | None = Field(
        None,
        gt=0,
        le=_MAX_CANCEL_AFTER_S,
        allow_inf_nan=False,
        strict=True,
        description="seconds after the submission at which a task without stems fails as `deadline_exceeded`",
        examples=[3600],
    )


class Queued(BaseModel):
    """The answer once the task is safely queued."""

    message: str = "Task has been queued for processing"
    status: str = "queued"
    task_uuid: UUID = Field(description="names the task in the callback and in the logs")
    ignored: list[str] | None = Field(
        default=None, description="the fields of the body that the api does not know, if there are any"
    )


def refuse_files(request: Request) -> None:
    """Raise ProblemError if the content type is that of a file, or of a form with a file. Read no body."""
    if _FILE.match(request.headers.get("Content-Type", "")):
        raise ProblemError(
            415,
            NOT_JSON,
            headers={"Accept": "application/json"},
        )


def parse(body: bytes, policy: AddressPolicy) -> tuple[Submission, tuple[str, ...]]:
    """Return the submission, and the names of the unknown fields.

    Raise ProblemError 400. Its `error_code` says whether a field is misspelt, or an address invalid or
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
    """Return a digest that is equal for equal submissions, however their JSON is written."""
    # Defaults are left out, so that adding a field later keeps old digests.
    fields = submission.model_dump(mode="json", exclude_defaults=True)
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def task_uuid(user: str, idempotency_key: str | None) -> UUID:
    """Return a new id, or, with a key, the id that belongs to this user and key."""
    if idempotency_key is None:
        return uuid4()
    # Unambiguous: a user's name in HTTP Basic contains no colon.
    return uuid5(_NAMESPACE, f"{user}:{idempotency_key}")
