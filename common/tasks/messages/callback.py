"""The bodies of callbacks."""

from typing import Literal
from uuid import UUID

from common.tasks.messages.fields import Bytes, Duration, Gain, MessageModel, Moment


class PublishedStem(MessageModel):
    """One stem as the callback names it."""

    url: str
    sha256: str
    bytes: Bytes
    duration_s: Duration


class SuccessCallback(MessageModel):
    """The body POSTed to `hook_url` on success. Not every model gives `vocals` and `instrumental`."""

    task_uuid: UUID
    status: Literal["success"] = "success"
    timestamp: Moment
    vocals: str | None = None
    instrumental: str | None = None
    stems: dict[str, PublishedStem]
    model: str
    device: str
    runtime: str | None = None
    precision: str | None = None
    precision_fallback: str | None = None
    gain: Gain = 1.0
    expires_at: Moment | None = None


class FailureCallback(MessageModel):
    """The body POSTed to `hook_url` when a task has failed."""

    task_uuid: UUID
    status: Literal["failed"] = "failed"
    timestamp: Moment
    error_message: str
    error_code: str
