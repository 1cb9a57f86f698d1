"""The messages between the services and the bodies of callbacks, a file for each topic.

A reader takes any message whose `schema_version` it knows, and ignores unknown fields. So services of
neighbouring versions work together.
"""

from common.tasks.messages.batch import BatchCallback, BatchEnded, EndedTask, TaskBatch, item_uuids
from common.tasks.messages.callback import (
    FailureCallback,
    PublishedStem,
    SuccessCallback,
    UsedModel,
    WrittenOutput,
)
from common.tasks.messages.choices import Choices, Output
from common.tasks.messages.control import Cancel, StageSeen
from common.tasks.messages.decoding import (
    decode_batch,
    decode_cancel,
    decode_delivery,
    decode_result,
    decode_result_record,
    decode_stage_seen,
    decode_status,
    decode_task,
    decode_worker_seen,
)
from common.tasks.messages.delivery import DeliveryAttempt
from common.tasks.messages.fields import MAX_RUN, UndecodableMessage, request_id_or_empty
from common.tasks.messages.hook_event import HookEvent
from common.tasks.messages.hook_test import HookTest, HookTestCallback
from common.tasks.messages.result import (
    AnyResultRecord,
    Deletion,
    Redelivery,
    Separated,
    SeparationFailed,
    StagedObject,
    StagedStem,
)
from common.tasks.messages.state import State, Times
from common.tasks.messages.status import Status
from common.tasks.messages.task import Task
from common.tasks.messages.worker import WorkerSeen

__all__ = [
    "MAX_RUN",
    "AnyResultRecord",
    "BatchCallback",
    "BatchEnded",
    "Cancel",
    "Choices",
    "Deletion",
    "DeliveryAttempt",
    "EndedTask",
    "FailureCallback",
    "HookEvent",
    "HookTest",
    "HookTestCallback",
    "Output",
    "PublishedStem",
    "Redelivery",
    "Separated",
    "SeparationFailed",
    "StageSeen",
    "StagedObject",
    "StagedStem",
    "State",
    "Status",
    "SuccessCallback",
    "Task",
    "TaskBatch",
    "Times",
    "UndecodableMessage",
    "UsedModel",
    "WorkerSeen",
    "WrittenOutput",
    "decode_batch",
    "decode_cancel",
    "decode_delivery",
    "decode_result",
    "decode_result_record",
    "decode_stage_seen",
    "decode_status",
    "decode_task",
    "decode_worker_seen",
    "item_uuids",
    "request_id_or_empty",
]
