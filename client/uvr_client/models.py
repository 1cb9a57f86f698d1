"""What the api says, as its users see it. Points in time are in seconds since the epoch.

A newer api may say more: fields that are not known here are kept, and states are text.
"""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


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


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

AnyState = Annotated[State | str, Field(union_mode="left_to_right")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Submission(_Answer):
    """A task that the api has taken. `idempotency_key` names it should the answer be lost.

    `ignored` are fields of the submission that the api does not know, being older than this client.
    """

    task_uuid: UUID
    status: str
    message: str
    idempotency_key: str
    ignored: tuple[str, ...] = ()


class Stem(_Answer):
    url: str
    sha256: str
    bytes: int
    duration_s: float


class Result(_Answer):
    """What a task has given: the body of its success callback."""

    stems: dict[str, Stem]
    timestamp: float
    model: str
    device: str
    gain: float = 1.0
    expires_at: float | None = None


class Task(_Answer):
    """How far a task is. `progress` is that of the whole run, from 0 to 1.

    `queue_place` (1 is next) and `queue_eta_s` are there while it is queued, `next_try_at` while it waits
    for another try. `error_code` and `error_message` tell of the last failure. `audio` is the song's address
    without its query, `hook_host` the host that is called; an earlier version of the api tells neither.
    """

    task_uuid: UUID
    state: AnyState
    progress: float | None = None
    run: int = 1
    attempt: int = 0
    user: str = ""
    audio: str | None = None
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
    result: Result | None = None

    @property
    def is_over(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def has_stems(self) -> bool:
        """Its stems are in the store, whether its callback was taken by somebody or not."""
        return self.result is not None and self.state in (State.DELIVERING, State.SUCCEEDED)

    @property
    def succeeded(self) -> bool:
        return self.state == State.SUCCEEDED or self.has_stems


class TaskEvent(_Answer):
    """A task's status in its stream; a stream that broke off goes on after `id`."""

    id: str
    task: Task


class Delivery(_Answer):
    """One POST of a task's callback. `status` is the receiver's answer, where there was one.

    `redelivery_requested_at` is when a redelivery was asked for, whose tries are numbered from 1 again.
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


class TaskPage(_Answer):
    tasks: list[Task]
    next: str | None = None


class Deliveries(_Answer):
    deliveries: list[Delivery]
