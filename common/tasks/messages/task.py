"""The messages of `uvr_tasks`."""

from typing import Literal
from uuid import UUID

from common.tasks.messages.choices import Choices
from common.tasks.messages.fields import (
    SCHEMA_VERSION,
    Label,
    MessageModel,
    Metadata,
    Moment,
    RequestId,
    Run,
)


class Task(MessageModel):
    """`uvr_tasks`: a song to separate. Points in time are in seconds since the epoch.

    `request_id` names the request that submitted the task, as in the api's log and answer. Without a
    `hook_url` no callback is sent. `submission_digest` (sha256, hexadecimal) shows whether another submission
    with the same `idempotency_key` differs. A run that has no stems by `cancel_at` fails. Without `choices`
    the operator's settings count. `label` and `metadata` come back unchanged.
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
    choices: Choices | None = None
    label: Label | None = None
    metadata: Metadata | None = None
