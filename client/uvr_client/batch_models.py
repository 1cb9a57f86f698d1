"""Models of the api's answers about batches. Points in time are in seconds since the epoch."""

from typing import Any
from uuid import UUID

from uvr_client.models import Answer, State


class BatchTask(Answer):
    """A task of a batch that the api has accepted. `ignored` is as in Submission."""

    task_uuid: UUID
    ignored: tuple[str, ...] = ()


class BatchSubmission(Answer):
    """A batch that the api has accepted. `tasks` are in the order of the items."""

    batch_uuid: UUID
    tasks: tuple[BatchTask, ...]
    idempotency_key: str = ""
    ignored: tuple[str, ...] = ()


class BatchItem(Answer):
    """The state of one task of a batch. `index` is its place among the items, from 0."""

    index: int
    task_uuid: UUID
    state: State
    progress: float | None = None
    label: str | None = None
    error_code: str | None = None


class BatchCallback(Answer):
    """A batch's callback and what has become of it.

    `state` is `awaited`, `delivering`, `delivered` or `given_up`.

    `tries` counts all tries. The other fields are the last one's: `status` is the receiver's, None without an
    answer; `redelivery_requested_at` is set if a redelivery made it.
    """

    state: str
    tries: int
    last_try_at: float | None = None
    status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: float | None = None
    redelivery_requested_at: float | None = None


class Batch(Answer):
    """A batch: the number of its tasks in each state, and some of the tasks.

    `callback` is None without a `hook_url`, and from an api of an earlier version. `submitted_at` and
    `called_at` are in seconds since the epoch.
    """

    batch_uuid: UUID
    count: int
    states: dict[State, int]
    is_over: bool
    submitted_at: float
    called_at: float | None = None
    callback: BatchCallback | None = None
    metadata: dict[str, Any] | None = None
    items: tuple[BatchItem, ...]
