"""The messages of `uvr_control`."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from common.tasks.messages.fields import SCHEMA_VERSION, MessageModel, Moment, RequestId, Run


class Cancel(MessageModel):
    """`uvr_control`: ends a run of the task, and no later one. `requested_at`: seconds since the epoch."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""


class StageSeen(MessageModel):
    """`uvr_control`: names an uploader's stage by its marker's id. Empty: the uploader cannot mark its stage.

    `at` is in seconds since the epoch. An old announcement does not count, since its uploader may be gone.
    `mode` is the uploader's STAGE; the default is all that earlier uploaders know.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["stage_seen"]
    worker_id: str = Field(max_length=200)
    stage: str = Field(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
    at: Moment
    mode: Literal["path", "s3"] = "path"
