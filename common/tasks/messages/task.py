"""The messages of `uvr_tasks`."""

from typing import Literal
from uuid import UUID

from common.kafka.lanes import DEFAULT_PRIORITY
from common.tasks.messages.choices import Choices
from common.tasks.messages.fields import (
    SCHEMA_VERSION,
    FileName,
    Label,
    MessageModel,
    Metadata,
    Moment,
    Priority,
    RequestId,
    Run,
)
from common.tasks.messages.hook_event import HookEvents

UPLOAD_SCHEME = "upload:"


class Task(MessageModel):
    """`uvr_tasks`: a song to separate. Points in time are in seconds since the epoch.

    `request_id` names the request that submitted the task, as in the api's log and answer. Without a
    `hook_url` no callback is sent. `submission_digest` (sha256, hexadecimal) shows whether another submission
    with the same `idempotency_key` differs. A run that has no stems by `cancel_at` fails. Without `choices`
    the operator's settings count. `label` and `metadata` come back unchanged. `audio` is the song's address,
    or `upload:` and the id of an upload, whose file was called `file_name`. `cache` "refresh": stems of
    earlier tasks do not serve for this one. `priority` is 1 to 5, 5 for the most urgent. `hook_events` are
    those of which `hook_url` is told; None: the ends.
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
    cache: Literal["refresh"] | None = None
    file_name: FileName | None = None
    priority: Priority = DEFAULT_PRIORITY
    hook_events: HookEvents | None = None


def upload_id_of(audio: str) -> UUID | None:
    """Returns the id of the upload that `audio` names, None if `audio` is an address.

    Raises ValueError for what begins as an upload and goes on without an id in its usual form.
    """
    if not audio.startswith(UPLOAD_SCHEME):
        return None
    given = audio.removeprefix(UPLOAD_SCHEME)
    upload_id = UUID(given)
    if str(upload_id) != given:
        raise ValueError(f"not the id of an upload: {given!r}")
    return upload_id
