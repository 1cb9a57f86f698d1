"""The models of the answers about tasks, with their examples; cursors and the ids of events."""

import base64
import binascii
import struct
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.problems import ProblemError
from api.view.merge import Rank, rank
from api.view.query import Position
from api.view.reader import QueuePlace
from common.outbound.addresses import host_of
from common.tasks.messages import Choices, DeliveryAttempt, State, Status, SuccessCallback, Times

_CURSOR = struct.Struct(">d16s")


class TaskStatus(BaseModel):
    """The state of a task. Points in time are in seconds since the epoch."""

    task_uuid: UUID
    state: State
    progress: float | None = Field(
        default=None, description="0 to 1, of the whole run; absent once the task has failed"
    )
    run: int = Field(description="1, and one more for each replay")
    attempt: int = Field(
        description="how often the current phase was begun, including retries after failures; a phase that "
        "was interrupted because a worker stopped or its work moved to another worker does not count"
    )
    user: str
    audio: str | None = Field(
        default=None,
        description="the song's address without its query, or `upload:` and the id of an upload; absent in "
        "tasks of old versions",
    )
    file_name: str | None = Field(default=None, description="the name of an uploaded song's file")
    priority: int | None = Field(
        default=None, description="1 to 5, 5 for the most urgent; absent once the results are deleted"
    )
    hook_host: str | None = Field(
        default=None,
        description="the host of `hook_url`, with its port if `hook_url` names one; absent without a "
        "`hook_url`",
    )
    submitted_at: float
    idempotency_key: str | None = Field(default=None, description="the key that the task was submitted with")
    choices: Choices | None = Field(
        default=None, description="what the user chose; absent where nothing was chosen"
    )
    label: str | None = None
    metadata: dict[str, Any] | None = None
    updated_at: float
    times: Times = Field(description="when the task last entered each state")
    queue_place: int | None = Field(
        default=None,
        description="only while the task is queued: 1 is the next task to be processed; 20,001 stands for "
        "20,000 or more tasks before this one",
    )
    queue_eta_s: float | None = Field(
        default=None, description="estimated seconds until a worker takes the task, if there is an estimate"
    )
    next_try_at: float | None = Field(default=None, description="when the next retry begins")
    model: str | None = None
    device: str | None = None
    error_code: str | None = Field(default=None, description="of the last failure, as in the callback")
    error_message: str | None = None
    result: SuccessCallback | None = Field(
        default=None,
        description="the callback's body, once the stems are ready; its links are valid until `expires_at`",
    )
    deleted_at: float | None = Field(
        default=None,
        description="since when the results are deleted, and what was submitted forgotten",
    )
    ignored: list[str] | None = Field(
        default=None, description="only in the answer to a submission: the fields that the api does not know"
    )

    @classmethod
    def of(cls, status: Status, queue: QueuePlace | None = None) -> Self:
        return cls(
            task_uuid=status.task_uuid,
            state=status.state,
            progress=status.progress,
            run=status.run,
            attempt=sum(status.tries) + max(0, status.attempt - status.handed_back),
            user=status.user,
            audio=status.audio,
            file_name=status.file_name,
            priority=status.priority if status.deleted_at is None else None,
            hook_host=None if status.hook_url is None else host_of(status.hook_url),
            submitted_at=status.submitted_at,
            idempotency_key=status.idempotency_key,
            choices=status.choices,
            label=status.label,
            metadata=status.metadata,
            updated_at=status.at,
            times=status.times,
            queue_place=None if queue is None else queue.place,
            queue_eta_s=None if queue is None or queue.eta_s is None else round(queue.eta_s, 1),
            next_try_at=status.next_try_at,
            model=status.model if status.deleted_at is None else None,
            device=status.device,
            error_code=status.error_code,
            error_message=status.error_message,
            result=status.result,
            deleted_at=status.deleted_at,
        )


class TaskPage(BaseModel):
    """Some tasks, the newest first."""

    tasks: list[TaskStatus]
    next: str | None = Field(default=None, description="the address of the next page, if there is one")


class Delivery(BaseModel):
    """One try to deliver a callback."""

    run: int
    try_number: int
    started_at: float
    took_s: float
    status: int | None = Field(default=None, description="the receiver's HTTP status, if it answered")
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: float | None = Field(default=None, description="absent after the last try")
    redelivery_requested_at: float | None = Field(
        default=None,
        description="only for a redelivery: when a user asked for it; its tries are numbered from 1 again",
    )

    @classmethod
    def of(cls, attempt: DeliveryAttempt) -> Self:
        return cls.model_validate(attempt.model_dump(exclude={"schema_version", "task_uuid", "hook_url"}))


class Deliveries(BaseModel):
    """All tries to deliver a task's callbacks, the first one first."""

    deliveries: list[Delivery]


_SUBMITTED_AT = 1750000000.0
EXAMPLE_SEPARATING = TaskStatus(
    task_uuid=UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    state=State.SEPARATING,
    progress=0.55,
    run=1,
    attempt=1,
    user="alice",
    audio="https://example.com/song.mp3",
    hook_host="example.com",
    submitted_at=_SUBMITTED_AT,
    idempotency_key="order-17",
    choices=Choices(preset="best", stems=("vocals",)),
    label="Artist - Title",
    metadata={"order": 17},
    priority=3,
    updated_at=_SUBMITTED_AT + 9,
    times={
        State.QUEUED: _SUBMITTED_AT,
        State.DOWNLOADING: _SUBMITTED_AT + 1,
        State.PREPARING: _SUBMITTED_AT + 4,
        State.SEPARATING: _SUBMITTED_AT + 5,
    },
)
EXAMPLE_SUCCEEDED = EXAMPLE_SEPARATING.model_copy(
    update={
        "state": State.SUCCEEDED,
        "progress": 1.0,
        "updated_at": _SUBMITTED_AT + 60,
        "times": {
            State.QUEUED: _SUBMITTED_AT,
            State.DELIVERING: _SUBMITTED_AT + 59,
            State.SUCCEEDED: _SUBMITTED_AT + 60,
        },
        "model": "UVR-MDX-NET-Inst_HQ_4",
        "device": "cuda",
    }
)
EXAMPLE_PAGE = TaskPage(
    tasks=[EXAMPLE_SEPARATING], next="/tasks?limit=1&cursor=QdoUzXwAAAB8nmZ5dCVA3pRL4H_B-Qrn"
)
EXAMPLE_DELIVERIES = Deliveries(
    deliveries=[
        Delivery(
            run=1,
            try_number=1,
            started_at=_SUBMITTED_AT + 30,
            took_s=0.12,
            status=500,
            error_code="callback_failed",
            error_message="The callback was answered with status 500",
            next_try_at=_SUBMITTED_AT + 60,
        ),
        Delivery(
            run=1,
            try_number=1,
            started_at=_SUBMITTED_AT + 901,
            took_s=0.08,
            status=204,
            redelivery_requested_at=_SUBMITTED_AT + 900,
        ),
    ]
)


def encode_cursor(last: Status) -> str:
    packed = _CURSOR.pack(last.submitted_at, last.task_uuid.bytes)
    return base64.urlsafe_b64encode(packed).decode()


def decode_cursor(cursor: str) -> Position:
    """Raise ProblemError 400 for a text that `encode_cursor` has not made."""
    try:
        submitted_at, task_uuid = _CURSOR.unpack(base64.b64decode(cursor, b"-_", validate=True))
    except (binascii.Error, ValueError, struct.error):
        raise ProblemError(400, "cursor: expected the cursor of a `next` link") from None
    return Position(submitted_at, UUID(bytes=task_uuid))


def event_id(status: Status) -> str:
    """Return an id that grows with the task's status. All apis give the same status the same id."""
    return ".".join(map(str, rank(status)))


def seen(last_event_id: str | None) -> Rank:
    """Return the rank in an event's id. An id that `event_id` has not made gives the empty, lowest rank."""
    parts = (last_event_id or "").split(".")
    return tuple(map(int, parts)) if all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts) else ()
