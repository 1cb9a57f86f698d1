"""Decodes messages from the bytes of records."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from common.tasks.messages.batch import TaskBatch
from common.tasks.messages.control import Cancel, StageSeen
from common.tasks.messages.delivery import DeliveryAttempt
from common.tasks.messages.fields import UndecodableMessage
from common.tasks.messages.result import RESULT, RESULT_RECORD, AnyResultRecord, Separated, SeparationFailed
from common.tasks.messages.status import Status
from common.tasks.messages.task import Task
from common.tasks.messages.worker import WorkerSeen

T = TypeVar("T")


def decode_task(value: bytes | None) -> Task:
    """Decodes a task. Raises UndecodableMessage."""
    return _decode(value, Task.model_validate_json)


def decode_result(value: bytes | None) -> Separated | SeparationFailed:
    """Decodes a result. Raises UndecodableMessage, also for what asks to redeliver or delete."""
    return _decode(value, RESULT.validate_json)


def decode_result_record(value: bytes | None) -> AnyResultRecord:
    """Decodes any record of the result topic. Raises UndecodableMessage."""
    return _decode(value, RESULT_RECORD.validate_json)


def decode_status(value: bytes | None) -> Status:
    """Decodes a status. Raises UndecodableMessage."""
    return _decode(value, Status.model_validate_json)


def decode_delivery(value: bytes | None) -> DeliveryAttempt:
    """Decodes a try of a callback. Raises UndecodableMessage."""
    return _decode(value, DeliveryAttempt.model_validate_json)


def decode_stage_seen(value: bytes | None) -> StageSeen:
    """Decodes the announcement of a stage. Raises UndecodableMessage."""
    return _decode(value, StageSeen.model_validate_json)


def decode_worker_seen(value: bytes | None) -> WorkerSeen:
    """Decodes a processor's announcement. Raises UndecodableMessage."""
    return _decode(value, WorkerSeen.model_validate_json)


def decode_batch(value: bytes | None) -> TaskBatch:
    """Decodes a batch. Raises UndecodableMessage."""
    return _decode(value, TaskBatch.model_validate_json)


def decode_cancel(value: bytes | None) -> Cancel:
    """Decodes a cancel. Raises UndecodableMessage."""
    return _decode(value, Cancel.model_validate_json)


def _decode(value: bytes | None, validate: Callable[[bytes], T]) -> T:
    try:
        return validate(value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "message"
        raise UndecodableMessage(f"{where}: {first['msg']}") from None
