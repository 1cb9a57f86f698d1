"""The messages about batches: the batch itself, its end, and the callback's body."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import Field

from common.tasks.messages.fields import SCHEMA_VERSION, MessageModel, Metadata, Moment, RequestId
from common.tasks.messages.state import State

MAX_BATCH_ITEMS = 1000
Items = Annotated[int, Field(ge=1, le=MAX_BATCH_ITEMS)]


class TaskBatch(MessageModel):
    """`uvr_batches`: tasks that were submitted together. Points in time are in seconds since the epoch.

    The tasks' ids follow from the batch's own, see `item_uuids`. `submission_digest` shows whether another
    submission with the same `idempotency_key` differs. `hook_url` is called once all tasks have ended.
    `ended_at` is in the batch's second record, which is published together with the order to call.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    batch_uuid: UUID
    count: Items
    submitted_at: Moment
    user: str = ""
    request_id: RequestId = ""
    hook_url: str | None = None
    metadata: Metadata | None = None
    idempotency_key: str | None = None
    submission_digest: str | None = None
    ended_at: Moment | None = None


class EndedTask(MessageModel):
    """Says how one task of a batch has ended."""

    task_uuid: UUID
    state: State
    error_code: str | None = None


class BatchCallback(MessageModel):
    """The body POSTed to a batch's `hook_url`. `tasks` are in the order of the submission.

    `timestamp` is when the last task ended, in seconds since the epoch. `states` counts the tasks by state.
    """

    batch_uuid: UUID
    status: Literal["batch_ended"] = "batch_ended"
    timestamp: Moment
    states: dict[State, int]
    tasks: tuple[EndedTask, ...]
    metadata: Metadata | None = None


class BatchEnded(MessageModel):
    """`uvr_results`: has an uploader call the batch's `hook_url`. Several apis may say so.

    The first uploader that gets one keeps its `callback` in the store; all send those bytes.
    `is_redelivery`: `user` has asked for it at `requested_at` (seconds since the epoch). It is sent although
    the receiver may have taken it before.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["batch_ended"] = "batch_ended"
    batch_uuid: UUID
    hook_url: str
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""
    callback: BatchCallback
    is_redelivery: bool = False

    @property
    def task_uuid(self) -> UUID:
        """The id by which logs, places, dead letters and deliveries know the batch."""
        return self.batch_uuid

    @property
    def run(self) -> int:
        """A batch has one run. A replay of its tasks calls nobody for the batch."""
        return 1


def item_uuids(batch_uuid: UUID, begin: int, end: int) -> Sequence[UUID]:
    """Return the ids of the tasks `begin` to `end` - 1 of a batch, counted from 0."""
    return [uuid5(batch_uuid, str(index)) for index in range(begin, end)]
