"""The bodies of callbacks."""

from typing import Literal
from uuid import UUID

from common.tasks.messages.choices import Choices, Format
from common.tasks.messages.fields import Bytes, Duration, Gain, Label, MessageModel, Metadata, Moment
from common.tasks.messages.state import State


class PublishedStem(MessageModel):
    """One stem as the callback names it."""

    url: str
    sha256: str
    bytes: Bytes
    duration_s: Duration


class UsedModel(MessageModel):
    """A model that was used, in the order of use. `runtime` computed it in `precision`."""

    name: str
    sha256: str | None = None
    runtime: str | None = None
    precision: str | None = None
    precision_fallback: str | None = None


class WrittenOutput(MessageModel):
    """Tells how the stems were written. `bit_depth` 32 is float."""

    format: Format
    sample_rate_hz: int
    bit_depth: Literal[16, 24, 32] | None = None
    bitrate_kbps: int | None = None
    normalize: str | None = None


class SuccessCallback(MessageModel):
    """The body POSTed to `hook_url` on success. Not every model gives `vocals` and `instrumental`.

    `cached_from` is the task whose stems these are, copied.
    """

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
    choices: Choices | None = None
    models: tuple[UsedModel, ...] | None = None
    output: WrittenOutput | None = None
    version: str | None = None
    label: Label | None = None
    metadata: Metadata | None = None
    cached_from: UUID | None = None


class FailureCallback(MessageModel):
    """The body POSTed to `hook_url` when a task has failed."""

    task_uuid: UUID
    status: Literal["failed"] = "failed"
    timestamp: Moment
    error_message: str
    error_code: str
    label: Label | None = None
    metadata: Metadata | None = None


class EventCallback(MessageModel):
    """The body POSTed to `hook_url` on the way. `progress`, 0 to 1, is the whole run's."""

    task_uuid: UUID
    status: Literal["started", "progress"]
    timestamp: Moment
    state: State
    progress: float
    label: Label | None = None
    metadata: Metadata | None = None
