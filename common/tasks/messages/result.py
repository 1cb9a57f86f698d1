"""The messages of `uvr_results`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from common.kafka.lanes import DEFAULT_PRIORITY
from common.tasks.messages.batch import BatchEnded
from common.tasks.messages.callback import FailureCallback, UsedModel, WrittenOutput
from common.tasks.messages.choices import Choices
from common.tasks.messages.fields import (
    SCHEMA_VERSION,
    Bytes,
    Duration,
    FileName,
    Gain,
    Label,
    MessageModel,
    Metadata,
    Moment,
    Priority,
    RequestId,
    Run,
)
from common.tasks.messages.hook_event import HookEvents
from common.tasks.messages.hook_test import HookTest
from common.tasks.messages.state import State, Times
from common.tasks.messages.task import Task


class StagedObject(MessageModel):
    """One complete file in the stage, found by its `key`. `etag` is the store's own, with STAGE=s3."""

    key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: Bytes
    etag: Annotated[str, Field(max_length=200)] | None = None


class StagedStem(StagedObject):
    """One complete stem in the stage."""

    duration_s: Duration


class _Result(MessageModel):
    """The fields of every result. Points in time are in seconds since the epoch.

    `times` tells when each state so far was entered. `cancel_at` is copied from the task. `audio` is the
    song's address without its secrets. `choices`, `label`, `metadata`, `file_name`, `priority` and
    `hook_events` are the task's.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_uuid: UUID
    hook_url: str | None = None
    run: Run = 1
    submitted_at: Moment
    finished_at: Moment
    request_id: RequestId = ""
    user: str = ""
    times: Times = Field(default_factory=dict)
    cancel_at: Moment | None = None
    audio: str | None = None
    choices: Choices | None = None
    label: Label | None = None
    metadata: Metadata | None = None
    file_name: FileName | None = None
    priority: Priority = DEFAULT_PRIORITY
    hook_events: HookEvents | None = None


class Separated(_Result):
    """`uvr_results`: the stems are staged. `gain` is the factor by which all stems were multiplied.

    `runtime` computed the networks in `precision`; None from an earlier worker. `precision_fallback` tells
    why float32 was used in place of the precision that was chosen. `models`, `output` and `version` (of the
    processor) tell what was used; None from an earlier worker. `cached_from` is the task from whose run
    `cached_run` the store is to copy the stems, which are not staged then. `cache_digest` names the song with
    these choices and models in the user's cache. `stage` is the processor's STAGE; the default is all that
    earlier workers know. `task` is the whole task of a result with `cached_from`: the task is done again
    where the stems are gone by then. `peaks` is the file of the stems' peaks; None from an earlier worker.
    `audio_s` is the length of what was separated and `engine_s` how long the engine worked on it, 0 for stems
    that are copied; both are None from an earlier worker.
    """

    status: Literal["success"] = "success"
    stems: dict[str, StagedStem]
    model: str
    device: str
    runtime: str | None = None
    precision: str | None = None
    precision_fallback: str | None = None
    gain: Gain = 1.0
    models: tuple[UsedModel, ...] | None = None
    output: WrittenOutput | None = None
    version: str | None = None
    cached_from: UUID | None = None
    cached_run: Run | None = None
    cache_digest: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    peaks: StagedObject | None = None
    stage: Literal["path", "s3"] = "path"
    task: Task | None = None
    audio_s: Duration | None = None
    engine_s: Duration | None = None


class SeparationFailed(_Result):
    """`uvr_results`: the task has ended without stems.

    `unstored`: the store was away, so the callback is sent although there is no manifest.
    """

    unstored: bool = False
    status: Literal["failed"] = "failed"
    error_code: str
    error_message: str


class Redelivery(MessageModel):
    """`uvr_results`: sends the callback of a run that is over once more, with the same bytes and id.

    `failure` is the callback's body if the run has failed. `unstored`: there is no manifest with that body.
    `user` asked for the redelivery, by the request `request_id`, at `requested_at` in seconds since the
    epoch.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["redeliver"] = "redeliver"
    task_uuid: UUID
    hook_url: str
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""
    failure: FailureCallback | None = None
    unstored: bool = False


class Deletion(MessageModel):
    """`uvr_results`: removes the stems and manifests of a task that is over, of all runs up to `run`.

    `user` asked for it, by the request `request_id`, at `requested_at` in seconds since the epoch; without a
    user the results have expired. `audio` is the task's, in case it is an upload. What stays of the task is
    its `owner`, when it was submitted, the `state` and `times` of the run, and what is accounted: `audio_s`,
    `engine_s` and `model`. `stem_url` is the link to one of its stems, and tells where they are: the setting
    S3_PREFIX may have been changed since then.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["delete"] = "delete"
    task_uuid: UUID
    run: Run
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""
    audio: str | None = None
    owner: str = ""
    submitted_at: Moment | None = None
    state: State = State.SUCCEEDED
    times: Times = Field(default_factory=dict)
    audio_s: Duration | None = None
    engine_s: Duration | None = None
    model: str | None = None
    stem_url: str | None = None


Result = Annotated[Separated | SeparationFailed, Field(discriminator="status")]
RESULT: TypeAdapter[Separated | SeparationFailed] = TypeAdapter(Result)
AnyResultRecord = Separated | SeparationFailed | Redelivery | Deletion | BatchEnded | HookTest
ResultRecord = Annotated[AnyResultRecord, Field(discriminator="status")]
RESULT_RECORD: TypeAdapter[AnyResultRecord] = TypeAdapter(ResultRecord)
