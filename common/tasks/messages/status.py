"""The messages of `uvr_status`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from common.kafka.lanes import DEFAULT_PRIORITY
from common.tasks.messages.callback import FailureCallback, SuccessCallback
from common.tasks.messages.choices import Choices
from common.tasks.messages.fields import (
    SCHEMA_VERSION,
    Count,
    Duration,
    FileName,
    Label,
    MessageModel,
    Metadata,
    Moment,
    Priority,
    Run,
)
from common.tasks.messages.hook_event import HookEvents
from common.tasks.messages.state import State, Times


class Status(MessageModel):
    """`uvr_status`: the state of a run of a task. Points in time are in seconds since the epoch.

    `worker_id` names the worker that works on the job, or has last; None in statuses of an earlier version.
    `progress`, 0 to 1, is the whole run's; None where the state has none. `tries` counts the failed tries of
    each kind. The kind whose failure resets the others' counts comes first. `attempt` counts how often the
    record was begun. `handed_back` counts the begins that were stopped in good order, which do not count
    toward MAX_ATTEMPTS. `next_try_at` is set while the run waits for a retry. `error_code` and
    `error_message` are the last failure's. `idempotency_key` and `submission_digest` are filled in only from
    the task's own record. `failure` is the callback's body of a run that has failed. `unstored`: there is no
    manifest with that body. `callback_next_try_at` is set while the callback of a failed run waits for its
    next try. `audio` is the song's address without query, user and password.
    `choices`, `label`, `metadata`, `file_name` and `priority` are the task's. `deleted_at`: the results of
    this run and of those before it are removed since then, and the status holds nothing of them but what is
    accounted: `audio_s`, the song's length in seconds, `engine_s`, how long the engine worked on it, and
    `model`.
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
    worker_id: str | None = Field(default=None, max_length=200)
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
    choices: Choices | None = None
    label: Label | None = None
    metadata: Metadata | None = None
    file_name: FileName | None = None
    deleted_at: Moment | None = None
    priority: Priority = DEFAULT_PRIORITY
    audio_s: Duration | None = None
    engine_s: Duration | None = None
    hook_events: HookEvents | None = None
