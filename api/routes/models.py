"""What the api says of a task."""

import base64
import binascii
import struct
from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.problems import ProblemError
from api.view.merge import Rank, rank
from api.view.reader import Position, QueuePlace
from common.outbound.addresses import host_of
from common.tasks.messages import DeliveryAttempt, State, Status, SuccessCallback, Times

_CURSOR = struct.Struct(">d16s")


class TaskStatus(BaseModel):
    """How far a task is. Points in time are in seconds since the epoch."""

    task_uuid: UUID
    state: State
    progress: float | None = Field(None, description="0 to 1, of the whole run; absent once it has failed")
    run: int = Field(description="1, and one more for each replay")
    attempt: int = Field(
        description="how often what it does now was begun, tries after failures included; begins that were "
        "stopped because a worker stopped or its work moved do not count"
    )
    user: str
    audio: str | None = Field(
        None, description="the song's address without its query; absent for tasks of an earlier version"
    )
    hook_host: str | None = Field(
        None, description="the host that is called, with its port if `hook_url` names one; absent for nobody"
    )
    submitted_at: float
    idempotency_key: str | None = Field(None, description="the one that it was submitted with")
    updated_at: float
    times: Times = Field(description="when each state was entered last")
    queue_place: int | None = Field(
        None,
        description="while it is queued: 1 is the next to be taken; 20,001 with 20,000 or more before it",
    )
    queue_eta_s: float | None = Field(
        None, description="about how long until it is taken; absent while nobody can tell"
    )
    next_try_at: float | None = Field(None, description="it waits until then")
    model: str | None = None
    device: str | None = None
    error_code: str | None = Field(None, description="of the last failure, as in the callback")
    error_message: str | None = None
    result: SuccessCallback | None = Field(
        None,
        description="the callback's body, once the stems are there; its links are good until `expires_at`",
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
            hook_host=None if status.hook_url is None else host_of(status.hook_url),
            submitted_at=status.submitted_at,
            idempotency_key=status.idempotency_key,
            updated_at=status.at,
            times=status.times,
            queue_place=queue and queue.place,
            queue_eta_s=None if queue is None or queue.eta_s is None else round(queue.eta_s, 1),
            next_try_at=status.next_try_at,
            model=status.model,
            device=status.device,
            error_code=status.error_code,
            error_message=status.error_message,
            result=status.result,
        )


class TaskPage(BaseModel):
    """Some tasks, the newest first."""

    tasks: list[TaskStatus]
    next: str | None = Field(None, description="where the older ones are; absent at the end")


class Delivery(BaseModel):
    """One try of a callback."""

    run: int
    try_number: int
    started_at: float
    took_s: float
    status: int | None = Field(None, description="the receiver's answer, where there was one")
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: float | None = Field(None, description="absent after the last try")
    redelivery_requested_at: float | None = Field(
        None, description="of a redelivery: when it was asked for; its tries are numbered from 1 again"
    )

    @classmethod
    def of(cls, attempt: DeliveryAttempt) -> Self:
        return cls.model_validate(attempt.model_dump(exclude={"schema_version", "task_uuid", "hook_url"}))


class Deliveries(BaseModel):
    """The first one first."""

    deliveries: list[Delivery]


def encode_cursor(last: Status) -> str:
    packed = _CURSOR.pack(last.submitted_at, last.task_uuid.bytes)
    return base64.urlsafe_b64encode(packed).decode()


def decode_cursor(cursor: str) -> Position:
    """Raises ProblemError for what `encode_cursor` has not made."""
    try:
        submitted_at, task_uuid = _CURSOR.unpack(base64.b64decode(cursor, b"-_", validate=True))
    except (binascii.Error, ValueError, struct.error):
        raise ProblemError(400, "cursor: expected that of a `next` link") from None
    return Position(submitted_at, UUID(bytes=task_uuid))


def event_id(status: Status) -> str:
    """Grows with the task's status, at every api alike."""
    return ".".join(map(str, rank(status)))


def seen(last_event_id: str | None) -> Rank:
    """What a client has seen whose last event had this id; nothing, when it is none of ours."""
    parts = (last_event_id or "").split(".")
    return tuple(map(int, parts)) if all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts) else ()
