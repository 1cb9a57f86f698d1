"""The messages of `uvr_control`."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from common.tasks.messages.fields import SCHEMA_VERSION, MessageModel, Moment, RequestId, Run


class Cancel(MessageModel):
    """`uvr_control`: this run of the task is to end, and no later one. `requested_at` is since the epoch."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""


class StageSeen(MessageModel):
    """`uvr_control`: which stage an uploader sees, by the marker's id there; empty for none that it can mark.

    `at` is in seconds since the epoch: an old one says nothing, its uploader may be gone.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["stage_seen"]
    worker_id: str = Field(max_length=200)
    stage: str = Field(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
    at: Moment
