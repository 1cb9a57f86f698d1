"""Models of the api's answers. Points in time are in seconds since the epoch.

A newer api may add fields and states. Unknown fields are kept, and an unknown state is a plain string.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class State(StrEnum):
    """The states of a task, in the order in which it passes through them; the last three are final."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PREPARING = "preparing"
    SEPARATING = "separating"
    UPLOADING = "uploading"
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

AnyState = Annotated[State | str, Field(union_mode="left_to_right")]


class Answer(BaseModel):
    """An answer of the api; fields that this version does not know are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Submission(Answer):
    """A task that the api has accepted. Submitting again with `idempotency_key` returns the same task.

    `ignored` names the fields of the submission that the api ignored because it is older than this client.
    """

    task_uuid: UUID
    status: str
    message: str
    idempotency_key: str
    ignored: tuple[str, ...] = ()


class Stem(Answer):
    """One stem: a presigned link, the sha256 and size of the file, and the duration of its audio."""

    url: str
    sha256: str
    bytes: int
    duration_s: float


class Result(Answer):
    """The stems of a task and how they were made, as in the success callback.

    Earlier workers send neither `runtime` nor `precision`. `precision_fallback` tells why float32 was used
    in place of the chosen precision.
    """

    stems: dict[str, Stem]
    timestamp: float
    model: str
    device: str
    runtime: str | None = None
    precision: str | None = None
    precision_fallback: str | None = None
    gain: float = 1.0
    expires_at: float | None = None


class Task(Answer):
    """A task's state. `progress` is that of the whole run, from 0 to 1.

    While the task is queued, `queue_place` (1 is next) and `queue_eta_s` are set. While it waits for a retry,
    `next_try_at` is set. `error_code` and `error_message` describe the last failure. `audio` is the
    song's address without its query, or `upload:` and an id, `hook_host` the callback's host; earlier apis
    send neither. `file_name` is an uploaded file's. `choices`, `label` and `metadata` are those of the
    submission. `deleted_at` is set once the results are deleted. Earlier apis send no `priority`.
    """

    task_uuid: UUID
    state: AnyState
    progress: float | None = None
    run: int = 1
    attempt: int = 0
    user: str = ""
    audio: str | None = None
    file_name: str | None = None
    hook_host: str | None = None
    submitted_at: float
    updated_at: float
    times: dict[str, float] = Field(default_factory=dict)
    queue_place: int | None = None
    queue_eta_s: float | None = None
    next_try_at: float | None = None
    model: str | None = None
    device: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    choices: dict[str, Any] | None = None
    label: str | None = None
    metadata: dict[str, Any] | None = None
    result: Result | None = None
    deleted_at: float | None = None
    priority: int | None = None

    @property
    def is_over(self) -> bool:
        """True once the state is final."""
        return self.state in FINAL_STATES

    @property
    def has_stems(self) -> bool:
        """True once the stems are in the store, even if no receiver has accepted the callback yet."""
        return self.result is not None and self.state in (State.DELIVERING, State.SUCCEEDED)

    @property
    def succeeded(self) -> bool:
        """True once the stems are ready."""
        return self.state == State.SUCCEEDED or self.has_stems


class TaskEvent(Answer):
    """An event of a task's stream. Pass `id` as `last_event_id` to continue the stream after it."""

    id: str
    task: Task


class Delivery(Answer):
    """One POST of a task's callback. `status` is that of the receiver's answer, None without an answer.

    `redelivery_requested_at` is set for tries of a redelivery, which are numbered from 1 again.
    """

    run: int
    try_number: int
    started_at: float
    took_s: float
    status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: float | None = None
    redelivery_requested_at: float | None = None


class TaskPage(Answer):
    """A page of tasks; `next` is the path of the next page, None on the last one."""

    tasks: list[Task]
    next: str | None = None


class Deliveries(Answer):
    """All POSTs of one task's callbacks."""

    deliveries: list[Delivery]


class Space(Answer):
    """A number of things in the bucket, and their bytes."""

    count: int
    bytes: int


class DayUsage(Answer):
    """The songs that were submitted on one day (in UTC) and separated by one model, or list of models.

    `audio_s` is their length and `engine_s` how long engines worked on them, in seconds. `bytes` are those of
    the stems that are still kept.
    """

    day: date
    model: str
    tasks: int
    audio_s: float
    engine_s: float
    bytes: int


class UserUsage(Answer):
    """What one user has had separated, by day and model, and the space of tasks with stems and of uploads.

    `uploads` is None where the api cannot read the bucket, `days` from an api of an earlier version.
    """

    user: str
    results: Space
    uploads: Space | None = None
    days: list[DayUsage] | None = None


class Usage(Answer):
    """The space that users take in the bucket."""

    users: list[UserUsage]
