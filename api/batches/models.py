"""The bodies of requests and answers about batches."""

from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.batches.callback_state import CallbackState, CallbackStatus
from api.submit.submission import Submission
from common.outbound.addresses import host_of
from common.tasks.messages import DeliveryAttempt, State, Status, TaskBatch
from common.tasks.messages.batch import MAX_BATCH_ITEMS


class BatchSubmission(BaseModel):
    """The body of `POST /batches`. Unknown fields are ignored, and named in the answer."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    items: list[Submission] = Field(
        min_length=1,
        max_length=MAX_BATCH_ITEMS,
        description="the songs, each as in `POST /generate`",
        examples=[[{"audio": "https://example.com/1.mp3"}, {"audio": "https://example.com/2.mp3"}]],
    )
    defaults: dict[str, Any] | None = Field(
        None,
        description="fields of `POST /generate` for each item that does not have them itself",
        examples=[{"preset": "best"}],
    )
    hook_url: str | None = Field(
        None,
        description="address that is called once, when all tasks of the batch have ended",
        examples=["https://example.com/batch-hook"],
    )
    metadata: dict[str, Any] | None = Field(
        None, description="any object; it comes back with the batch", examples=[{"order": 17}]
    )


class QueuedItem(BaseModel):
    """The task of one item."""

    task_uuid: UUID
    ignored: list[str] | None = Field(
        default=None, description="the fields of the item that the api does not know, if there are any"
    )


class QueuedBatch(BaseModel):
    """The answer once all tasks of the batch are safely queued."""

    message: str = "Batch has been queued for processing"
    status: str = "queued"
    batch_uuid: UUID
    tasks: list[QueuedItem] = Field(description="in the order of the items")
    ignored: list[str] | None = Field(
        default=None, description="the fields of the batch that the api does not know, if there are any"
    )


class BatchItem(BaseModel):
    """The state of one task of a batch."""

    index: int = Field(description="its place among the items, from 0")
    task_uuid: UUID
    state: State
    progress: float | None = None
    label: str | None = None
    error_code: str | None = None

    @classmethod
    def of(cls, index: int, task_uuid: UUID, status: Status | None) -> Self:
        """`status` is None while the view has not read the task yet."""
        if status is None:
            return cls(index=index, task_uuid=task_uuid, state=State.QUEUED, progress=0.0)
        return cls(
            index=index,
            task_uuid=task_uuid,
            state=status.state,
            progress=status.progress,
            label=status.label,
            error_code=status.error_code,
        )


class BatchStatus(BaseModel):
    """The state of a batch. Points in time are in seconds since the epoch."""

    batch_uuid: UUID
    count: int = Field(description="the number of its tasks")
    states: dict[State, int] = Field(description="the number of tasks in each state that any is in")
    is_over: bool = Field(description="whether all tasks have ended")
    user: str
    submitted_at: float
    idempotency_key: str | None = None
    metadata: dict[str, Any] | None = None
    hook_host: str | None = Field(default=None, description="the host of `hook_url`; absent without one")
    called_at: float | None = Field(
        default=None,
        description="when an uploader was told to call `hook_url`",
    )
    callback: CallbackStatus | None = Field(
        default=None, description="what has become of the batch's callback; absent without a `hook_url`"
    )
    items: list[BatchItem] = Field(description="a page of the tasks, in the order of the items")
    next: str | None = Field(default=None, description="the address of the next page, if there is one")

    @classmethod
    def of(
        cls,
        batch: TaskBatch,
        states: dict[State, int],
        items: list[BatchItem],
        attempts: Sequence[DeliveryAttempt],
        next_page: str | None = None,
    ) -> Self:
        """`attempts` are the tries of the batch's callback, in the order of time."""
        return cls(
            batch_uuid=batch.batch_uuid,
            count=batch.count,
            states=states,
            is_over=all(state.is_final for state in states),
            user=batch.user,
            submitted_at=batch.submitted_at,
            idempotency_key=batch.idempotency_key,
            metadata=batch.metadata,
            hook_host=None if batch.hook_url is None else host_of(batch.hook_url),
            called_at=batch.ended_at,
            callback=CallbackStatus.of(batch, attempts),
            items=items,
            next=next_page,
        )


_BATCH = UUID("3f1c1d0a-6a3e-4f0e-9a52-0f6f3b6f1c11")
_TASKS = (UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"), UUID("0b0c7a3e-5b1d-4c7e-8a4e-2a8d5f3f9d10"))
EXAMPLE_QUEUED = QueuedBatch(batch_uuid=_BATCH, tasks=[QueuedItem(task_uuid=one) for one in _TASKS])
EXAMPLE_BATCH = BatchStatus(
    batch_uuid=_BATCH,
    count=2,
    states={State.SEPARATING: 1, State.SUCCEEDED: 1},
    is_over=False,
    user="alice",
    submitted_at=1750000000.0,
    metadata={"order": 17},
    hook_host="example.com",
    callback=CallbackStatus(state=CallbackState.AWAITED, tries=0),
    items=[
        BatchItem(index=0, task_uuid=_TASKS[0], state=State.SUCCEEDED, progress=1.0),
        BatchItem(index=1, task_uuid=_TASKS[1], state=State.SEPARATING, progress=0.55),
    ],
)
EXAMPLE_SUBMISSION = {
    "items": [
        {"audio": "https://example.com/1.mp3", "label": "One"},
        {"audio": "https://example.com/2.mp3", "label": "Two"},
    ],
    "defaults": {"preset": "best", "stems": ["vocals"]},
    "hook_url": "https://example.com/batch-hook",
    "metadata": {"order": 17},
}
