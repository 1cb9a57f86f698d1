"""The messages of `uvr_tasks`."""

from typing import Literal
from uuid import UUID

from common.tasks.messages.fields import SCHEMA_VERSION, MessageModel, Moment, RequestId, Run


class Task(MessageModel):
    """`uvr_tasks`: a song to separate. `submitted_at` is in seconds since the epoch.

    `request_id` is that of the request that submitted it, as the api's log and answer have it. Without a
    `hook_url` nobody is called. With an `idempotency_key` the `submission_digest` (sha256, hexadecimal) tells
    another submission under the same key. A run that has no stems at `cancel_at`, also since the epoch, ends
    without them.
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
