"""The messages between the services, and the body of the callback.

A reader takes any message whose `schema_version` it knows and leaves unknown fields aside, so that
services of neighbouring versions work together.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

SCHEMA_VERSION = 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def fit_request_id(given: Any) -> str:
    """`given` if it can stand in any log line as it is, else nothing."""
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


# A line in a log is no reason to refuse a task.
RequestId = Annotated[str, BeforeValidator(fit_request_id)]

# Bounds that no right message comes near. Beyond them a reader's arithmetic, or its database, would fail.
# Each replay is a run, and the uploader looks for the stems of all runs before.
MAX_RUN = 1000
_MAX_COUNT = 1_000_000
_MAX_BYTES = 2**53
_MAX_DURATION_S = 1e9
# Seconds since the epoch, up to the year 9999.
Moment = Annotated[float, Field(ge=0, le=253_402_300_799)]
Duration = Annotated[float, Field(ge=0, le=_MAX_DURATION_S)]
Run = Annotated[int, Field(ge=1, le=MAX_RUN)]
Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BYTES)]
Gain = Annotated[float, Field(ge=0, le=1e9)]


class UndecodableMessage(ValueError):
    """The record is not a message of a schema that we know."""


class _Message(BaseModel):
    # JSON has no infinity: written it is null, which no reader takes.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


class Task(_Message):
    """`uvr_tasks`: a song to separate. `submitted_at` is in seconds since the epoch.

    `request_id` is that of the request that submitted it, as the api's log and answer have it. Without a
    `hook_url` nobody is called. With an `idempotency_key` the `submission_digest` (sha256, hexadecimal) tells
    another submission under the same key. A run that has no stems at `cancel_at`, also since the epoch, ends
    without them.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    audio: str
    hook_url: str | None = None
    submitted_at: Moment
    user: str = ""
    run: Run = 1
    request_id: RequestId = ""
    idempotency_key: str | None = None
    submission_digest: str | None = None
    cancel_at: Moment | None = None


class StagedStem(_Message):
    """One complete stem in the stage: `key` is what `common.storage.stage` finds it by."""

    key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: Bytes
    duration_s: Duration


class State(StrEnum):
    """How far a task is, in the order in which it gets there; the last three are final."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PREPARING = "preparing"
    SEPARATING = "separating"
    UPLOADING = "uploading"
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


Times = dict[State, Moment]


class _Result(_Message):
    """`times` is when each state was entered on the way here, in seconds since the epoch.

    `cancel_at` is the task's, `audio` its song's address without what is secret in it.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    hook_url: str | None = None
    run: Run = 1
    submitted_at: Moment
    finished_at: Moment
    request_id: RequestId = ""
    user: str = ""
    times: Times = Field(default_factory=dict)
    cancel_at: Moment | None = None
    audio: str | None = None


class Separated(_Result):
    """`uvr_results`: the stems are staged. `gain` is the one factor applied to all stems."""

    status: Literal["success"] = "success"
    stems: dict[str, StagedStem]
    model: str
    device: str
    gain: Gain = 1.0


class SeparationFailed(_Result):
    """`uvr_results`: the task has ended without stems.

    `unstored`: the store could not be had, so its callback goes out without a manifest.
    """

    unstored: bool = False
    status: Literal["failed"] = "failed"
    error_code: str
    error_message: str


class PublishedStem(_Message):
    """One stem as the callback names it."""

    url: str
    sha256: str
    bytes: Bytes
    duration_s: Duration


class SuccessCallback(_Message):
    """The body POSTed to `hook_url`; `vocals` and `instrumental` where the model gives them."""

    task_uuid: UUID
    status: Literal["success"] = "success"
    timestamp: Moment
    vocals: str | None = None
    instrumental: str | None = None
    stems: dict[str, PublishedStem]
    model: str
    device: str
    gain: Gain = 1.0
    expires_at: Moment | None = None


class FailureCallback(_Message):
    """The body POSTed to `hook_url` when a task has failed."""

    task_uuid: UUID
    status: Literal["failed"] = "failed"
    timestamp: Moment
    error_message: str
    error_code: str


class Redelivery(_Message):
    """`uvr_results`: the callback of a run that is over goes out once more, with the same bytes and id.

    `failure` is what it says where the run has failed; `unstored`: there is no manifest that holds it.
    `user` and `request_id` are those of who asked for it, at `requested_at` in seconds since the epoch.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["redeliver"] = "redeliver"
    task_uuid: UUID
    hook_url: str
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""
    failure: FailureCallback | None = None
    unstored: bool = False


Result = Annotated[Separated | SeparationFailed, Field(discriminator="status")]
_RESULT: TypeAdapter[Separated | SeparationFailed] = TypeAdapter(Result)
ResultRecord = Annotated[Separated | SeparationFailed | Redelivery, Field(discriminator="status")]
_RESULT_RECORD: TypeAdapter[Separated | SeparationFailed | Redelivery] = TypeAdapter(ResultRecord)


class DeliveryAttempt(_Message):
    """`uvr_deliveries`: one try of a callback. Times are in seconds, points in time since the epoch.

    `status` is the receiver's answer, where there was one; `next_try_at` is None after the last try. The
    tries of each redelivery are numbered from 1 again; `redelivery_requested_at` tells them apart.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run
    hook_url: str
    try_number: Count
    started_at: Moment
    took_s: Duration
    status: Annotated[int, Field(ge=0, le=999)] | None = None
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: Moment | None = None
    redelivery_requested_at: Moment | None = None


class Status(_Message):
    """`uvr_status`: how far a run of a task is. Points in time are in seconds since the epoch.

    `progress` is that of the whole run, None where it says nothing. `tries` counts those that have failed
    before, by kind, the kind that starts the others anew first; `attempt` counts the record's own begins, and
    `handed_back` those of them that were stopped in good order and do not count toward MAX_ATTEMPTS.
    `next_try_at`: it waits until then. `error_code` and `error_message` tell of the last failure.
    `idempotency_key` and `submission_digest` are known from the task's own record alone.
    `failure` is the callback's body of a run that has failed, `unstored` if there is no manifest with it.
    `callback_next_try_at` is set while such a run's callback waits for its next try.
    `audio` is the song's address without query, user and password.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run = 1
    user: str = ""
    submitted_at: Moment
    state: State
    at: Moment
    progress: float | None = Field(default=None, ge=0, le=1)
    tries: Annotated[tuple[Count, ...], Field(max_length=16)] = ()
    attempt: Count = 0
    handed_back: Count = 0
    times: Times = Field(default_factory=dict)
    next_try_at: Moment | None = None
    model: str | None = None
    device: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    result: SuccessCallback | None = None
    idempotency_key: str | None = None
    submission_digest: str | None = None
    hook_url: str | None = None
    audio: str | None = None
    failure: FailureCallback | None = None
    unstored: bool = False
    callback_next_try_at: Moment | None = None


class Cancel(_Message):
    """`uvr_control`: this run of the task is to end, and no later one. `requested_at` is since the epoch."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""


class StageSeen(_Message):
    """`uvr_control`: which stage an uploader sees, by the marker's id there; empty for none that it can mark.

    `at` is in seconds since the epoch: an old one says nothing, its uploader may be gone.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["stage_seen"]
    worker_id: str = Field(max_length=200)
    stage: str = Field(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
    at: Moment


def decode_task(value: bytes | None) -> Task:
    """Raises UndecodableMessage."""
    return _decode(value, Task.model_validate_json)


def decode_result(value: bytes | None) -> Separated | SeparationFailed:
    """Raises UndecodableMessage, also for a redelivery, which is no result."""
    return _decode(value, _RESULT.validate_json)


def decode_result_record(value: bytes | None) -> Separated | SeparationFailed | Redelivery:
    """All that lies in the result topic. Raises UndecodableMessage."""
    return _decode(value, _RESULT_RECORD.validate_json)


def decode_status(value: bytes | None) -> Status:
    """Raises UndecodableMessage."""
    return _decode(value, Status.model_validate_json)


def decode_delivery(value: bytes | None) -> DeliveryAttempt:
    """Raises UndecodableMessage."""
    return _decode(value, DeliveryAttempt.model_validate_json)


def decode_stage_seen(value: bytes | None) -> StageSeen:
    """Raises UndecodableMessage."""
    return _decode(value, StageSeen.model_validate_json)


def decode_cancel(value: bytes | None) -> Cancel:
    """Raises UndecodableMessage."""
    return _decode(value, Cancel.model_validate_json)


def _decode(value, validate):
    try:
        return validate(value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "message"
        raise UndecodableMessage(f"{where}: {first['msg']}") from None
