"""The body of a submission, its checks, and the id of its task."""

import json
import re
from hashlib import sha256
from typing import Literal
from uuid import UUID, uuid5

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from api.problems import ProblemError
from api.submit.refusals import refusal
from api.submit.texts import check_label, check_metadata
from api.submit.unknown_fields import fields_of, unknown_fields
from api.uuids import random_uuid
from common.errors import ErrorCode, PermanentError
from common.kafka.lanes import DEFAULT_PRIORITY, HIGHEST, LOWEST
from common.outbound.addresses import AddressPolicy, validate_text
from common.tasks.messages import Choices, Output
from common.tasks.messages.fields import MAX_METADATA_BYTES, Label, Metadata
from common.tasks.messages.hook_event import HookEvent, in_order
from common.tasks.messages.task import upload_id_of

# Never changes: the ids of tasks with an Idempotency-Key follow from this.
_NAMESPACE = UUID("c0dea8cc-335b-464b-a198-1e5cde22127c")
_BATCHES = UUID("5d0e3b8e-52c4-4a83-9b3f-7f4d9b0a9c61")

_MAX_CANCEL_AFTER_S = 30 * 24 * 3600
NOT_JSON = (
    "A bare file cannot be submitted: upload the song in a form (curl -F audio=@song.mp3 …) or by POST "
    '/uploads, or send JSON with its address, such as {"audio": "https://example.com/song.mp3"}'
)
# Programs send JSON under any content type but these, under which only files are sent.
_FILE = re.compile(r"\s*(multipart|audio|video|image|font|model)/", re.IGNORECASE)
_FORM = re.compile(r"\s*multipart/form-data\s*(;|$)", re.IGNORECASE)


class PlainSubmission(BaseModel):
    """A submission that chooses nothing, as most are. To read one takes a third of a Submission's time."""

    audio: str = Field(
        description="address of the song: http or https, public; or `upload:` and the id of an upload",
        examples=["https://example.com/song.mp3"],
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


class Submission(Choices, PlainSubmission):
    """The body of `POST /generate`. Unknown fields are ignored, and named in the answer."""

    # For the OpenAPI document: further fields are accepted.
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    label: Label | None = Field(
        None,
        description="a name for people: it names the stems' files, and comes back with the task",
        examples=["Artist - Title"],
    )
    metadata: Metadata | None = Field(
        None,
        description=f"any object of at most {MAX_METADATA_BYTES} bytes as compact JSON in UTF-8; it comes "
        "back unchanged",
        examples=[{"order": 17}],
    )

    cache: Literal["refresh"] | None = Field(
        None,
        description="refresh: separate the song anew, even if the stems of an earlier task could serve",
        examples=["refresh"],
    )
    priority: int = Field(
        DEFAULT_PRIORITY,
        ge=LOWEST,
        le=HIGHEST,
        strict=True,
        description="5 for the most urgent tasks, 1 for those that can wait for all others",
        examples=[5],
    )

    hook_events: tuple[HookEvent, ...] | None = Field(
        None,
        min_length=1,
        description="the events of which `hook_url` is told; if nothing is said, the last three",
        examples=[["started", "progress", "succeeded", "failed", "cancelled"]],
    )

    _in_order = field_validator("hook_events")(in_order)
    _check_label = field_validator("label")(check_label)
    _check_metadata = field_validator("metadata")(check_metadata)

    @field_validator("output")
    @classmethod
    def _none_if_empty(cls, output: Output | None) -> Output | None:
        return output if output and output.model_dump(exclude_none=True) else None

    @field_validator("start_s")
    @classmethod
    def _none_if_zero(cls, start_s: float | None) -> float | None:
        return start_s or None

    @property
    def choices(self) -> Choices | None:
        """The fields that choose models, stems, output and part of the song; None if nothing is chosen."""
        chosen = {name: value for name in _CHOICES if (value := getattr(self, name)) is not None}
        return Choices(**chosen) if chosen else None


_PLAIN_FIELDS = PlainSubmission.model_fields.keys()
# In their order: of two fields that are equally near a misspelt one, the first is named.
_FIELDS = Submission.model_fields
_CHOICES = Choices.model_fields
_INNER_FIELDS = {"output": Output.model_fields}


class Queued(BaseModel):
    """The answer once the task is safely queued."""

    message: str = "Task has been queued for processing"
    status: str = "queued"
    task_uuid: UUID = Field(description="names the task in the callback and in the logs")
    audio: str | None = Field(
        default=None, description="only for a form: the upload, which further tasks can name while it is kept"
    )
    ignored: list[str] | None = Field(
        default=None, description="the fields of the body that the api does not know, if there are any"
    )


def is_form(request: Request) -> bool:
    return bool(_FORM.match(request.headers.get("Content-Type", "")))


def refuse_files(request: Request) -> None:
    """Raise ProblemError if the content type is that of a file. Read no body."""
    if _FILE.match(request.headers.get("Content-Type", "")):
        raise ProblemError(
            415,
            NOT_JSON,
            headers={"Accept": "application/json"},
        )


def parse(body: bytes, policy: AddressPolicy) -> tuple[PlainSubmission, tuple[str, ...]]:
    """Return the submission, and the names of the unknown fields.

    Raise ProblemError 400. Its `error_code` tells misspelt fields, fields that contradict each other, a label
    or metadata that cannot be kept, and addresses that are invalid or blocked.
    """
    fields = fields_of(body)
    ignored = unknown_fields(fields, _FIELDS, _INNER_FIELDS)
    model = PlainSubmission if fields.keys() <= _PLAIN_FIELDS else Submission
    try:
        submission = model.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from None
    for name, address in (("audio", submission.audio), ("hook_url", submission.hook_url)):
        if address is None or (name == "audio" and _is_upload(address)):
            continue
        try:
            validate_text(address, policy)
        except PermanentError as error:
            raise ProblemError(400, f"{name}: {error.message}", error_code=error.code) from None
    return submission, ignored


def _is_upload(audio: str) -> bool:
    try:
        return upload_id_of(audio) is not None
    except ValueError:
        detail = "audio: expected upload: and the id of an upload, as POST /uploads answers it"
        raise ProblemError(400, detail, error_code=ErrorCode.ADDRESS_INVALID) from None


def digest(submission: PlainSubmission, song: str | None = None) -> str:
    """Return a digest that is equal for equal submissions, however their JSON is written.

    `song` stands for the address, where there is another one each time.
    """
    # Defaults are left out, so that adding a field later keeps old digests.
    fields = submission.model_dump(mode="json", exclude_defaults=True)
    if song is not None:
        fields["audio"] = song
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def song_of(sha256_hex: str | None) -> str:
    """Return what stands for the address in the digest of a song that comes with a form."""
    return f"sha256:{sha256_hex}"


def batch_uuid(user: str, idempotency_key: str | None) -> UUID:
    """As `task_uuid`, for a batch. The ids of its tasks follow from its own."""
    # With a namespace of its own, so that a batch and a task may have the same key.
    return random_uuid() if idempotency_key is None else uuid5(_BATCHES, f"{user}:{idempotency_key}")


def task_uuid(user: str, idempotency_key: str | None) -> UUID:
    """Return a new id, or, with a key, the id that belongs to this user and key."""
    if idempotency_key is None:
        return random_uuid()
    # Unambiguous: a user's name in HTTP Basic contains no colon.
    return uuid5(_NAMESPACE, f"{user}:{idempotency_key}")
