"""Records of valid form with values that nobody writes: each is refused by itself, whoever reads it."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from common.jobs import retry
from common.kafka.records import Record
from common.tasks import messages
from common.tasks.messages import (
    Cancel,
    DeliveryAttempt,
    FailureCallback,
    PublishedStem,
    Redelivery,
    Separated,
    StagedStem,
    State,
    Status,
    SuccessCallback,
    Task,
    UndecodableMessage,
)

ID = UUID(int=1)
AT = 1.75e9
FAILURE = FailureCallback(task_uuid=ID, timestamp=AT, error_message="no", error_code="x")
PUBLISHED = PublishedStem(url="u", sha256="s", bytes=5, duration_s=1.5)
SUCCESS = SuccessCallback(
    task_uuid=ID, timestamp=AT, stems={"vocals": PUBLISHED}, model="m", device="cpu", expires_at=AT
)
STAGED = StagedStem(key="k", sha256="ab" * 32, bytes=5, duration_s=1.5)
DECODERS: list[tuple[BaseModel, Callable[[bytes], Any]]] = [
    (Task(task_uuid=ID, audio="a", submitted_at=AT, cancel_at=AT), messages.decode_task),
    (
        Separated(
            task_uuid=ID,
            submitted_at=AT,
            finished_at=AT,
            cancel_at=AT,
            times={State.QUEUED: AT},
            stems={"vocals": STAGED},
            model="m",
            device="cpu",
        ),
        messages.decode_result_record,
    ),
    (
        Redelivery(task_uuid=ID, hook_url="h", run=1, requested_at=AT, failure=FAILURE),
        messages.decode_result_record,
    ),
    (
        Status(
            task_uuid=ID,
            submitted_at=AT,
            state=State.SUCCEEDED,
            at=AT,
            progress=1.0,
            tries=(1, 2),
            attempt=1,
            times={State.QUEUED: AT},
            next_try_at=AT,
            result=SUCCESS,
            failure=FAILURE,
        ),
        messages.decode_status,
    ),
    (
        DeliveryAttempt(
            task_uuid=ID,
            run=1,
            hook_url="h",
            try_number=1,
            started_at=AT,
            took_s=0.5,
            status=200,
            next_try_at=AT,
            redelivery_requested_at=AT,
        ),
        messages.decode_delivery,
    ),
    (Cancel(task_uuid=ID, run=1, requested_at=AT), messages.decode_cancel),
]


def numbers(value: Any, where: tuple = ()) -> Iterator[tuple]:
    """Yields the path of each number in a message, but the schema's version: that has one value alone."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, (*where, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*where, index))
    elif isinstance(value, int | float) and where[-1] != "schema_version":
        yield where


def altered(message: BaseModel, where: tuple, number: str) -> bytes:
    fields = json.loads(message.to_bytes())
    inner = fields
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = "NUMBER"
    return json.dumps(fields).replace('"NUMBER"', number).encode()


CASES = [
    pytest.param(message, decode, where, id=f"{type(message).__name__}.{'.'.join(map(str, where))}")
    for message, decode in DECODERS
    for where in numbers(json.loads(message.to_bytes()))
]


@pytest.mark.parametrize(("message", "decode", "where"), CASES)
def test_every_number_of_every_message_is_bounded(message, decode, where):
    assert decode(message.to_bytes()) == message
    for odd in ("1.7e308", "-1.7e308", str(2**63), str(-(2**63)), "1e400", "9" * 5000, "-1"):
        with pytest.raises(UndecodableMessage):
            decode(altered(message, where, odd))


@pytest.mark.parametrize("run", [0, 10**9, 2**63])
def test_a_run_that_nobody_reaches_is_no_run(run):
    for message, decode in DECODERS:
        if hasattr(message, "run"):
            with pytest.raises(UndecodableMessage):
                decode(altered(message, ("run",), str(run)))


@pytest.mark.parametrize("count", ["1e308", "-5", "9" * 400, "true"])
def test_counts_in_headers_are_ones_that_a_status_can_tell(count):
    headers = ((retry.TRIES, b'{"job": %s}' % count.encode()),)
    record = Record("t", 0, 0, None, None, headers)
    tries = tuple(retry.history(record).failed_tries.values())
    assert Status(task_uuid=ID, submitted_at=AT, state=State.QUEUED, at=AT, tries=tries).tries == tries


def test_thousands_of_counts_in_a_header_are_a_few():
    headers = ((retry.TRIES, json.dumps({f"kind-{n}": 1 for n in range(5000)}).encode()),)
    assert len(retry.history(Record("t", 0, 0, None, None, headers)).failed_tries) <= 16
