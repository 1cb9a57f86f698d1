"""The messages of `uvr_deliveries`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from common.tasks.messages.fields import SCHEMA_VERSION, Count, Duration, MessageModel, Moment, Run


class DeliveryAttempt(MessageModel):
    """`uvr_deliveries`: one try of a callback. Points in time are in seconds since the epoch.

    `status` is the HTTP status that the receiver answered with, if it answered. `next_try_at` is None after
    the last try. The tries of each redelivery are numbered from 1 again; `redelivery_requested_at` tells
    which one.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    run: Run
    hook_url: str
    try_number: Count
    started_at: Moment
    took_s: Duration
    status: Annotated[int, Field(ge=0, le=999)] | None = None
    error_code: str | None = None
    error_message: str | None = None
    next_try_at: Moment | None = None
    redelivery_requested_at: Moment | None = None
