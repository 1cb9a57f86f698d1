"""The messages of `uvr_status`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from common.tasks.messages.callback import FailureCallback, SuccessCallback
from common.tasks.messages.fields import SCHEMA_VERSION, Count, MessageModel, Moment, Run
from common.tasks.messages.state import State, Times


class Status(MessageModel):
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
