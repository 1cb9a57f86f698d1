"""Evidence of soaks that went as they should, and the kinds of violations in it."""

import dataclasses
import json
from collections import Counter
from uuid import UUID

from common.tasks.messages import (
    BatchCallback,
    BatchEnded,
    DeliveryAttempt,
    SeparationFailed,
    State,
    Task,
    TaskBatch,
    item_uuids,
)
from soak import checks
from soak.batch_sender import TakenBatch
from soak.evidence import Evidence
from soak.ledger import Ledger
from soak.outside import Callback
from soak.plan import Batch, Hook, Job, Options, Plan, Song

UUID_1, UUID_2 = UUID(int=1), UUID(int=2)
JOB = Job(0, at_s=0, seconds=1, song=Song.MISSING, hook=Hook.HEALTHY, song_failures=1, hook_failures=1)


def failed(code: str) -> SeparationFailed:
    return SeparationFailed(
        task_uuid=UUID_1,
        hook_url="http://h",
        submitted_at=0,
        finished_at=1,
        error_code=code,
        error_message="why",
        user="anna",
    )


def body(code: str | None, **others) -> bytes:
    success = {"status": "success", "models": [{"name": "centre"}], "output": {"format": "wav"}}
    end = {"status": "failed", "error_code": code} if code else success
    told = {"task_uuid": str(UUID_1), "label": "song 0", "metadata": {"job": 0}}
    return json.dumps({**told, **end, **others}).encode()


def evidence(code: str = "http_error", **changes) -> Evidence:
    """One song that was not there, as it should be, but for `changes`."""
    delivery = DeliveryAttempt(
        task_uuid=UUID_1, run=1, hook_url="http://h", try_number=1, started_at=1, took_s=0, status=204
    )
    task = Task(task_uuid=UUID_1, audio="http://a", hook_url="http://h", submitted_at=0)
    sound = Evidence(
        plan=Plan(Options(jobs=1), (JOB,), ()),
        task_uuids={0: str(UUID_1)},
        callbacks={0: [Callback(str(UUID_1), f"{UUID_1}.1", body(code))]},
        ledger=Ledger([task], [failed(code)], [delivery], [], Counter(), commits=1),
        states={str(UUID_1): "failed"},
        deleted=set(),
        objects={},
        unfinished=[],
        stage=[],
        bucket=[],
        temporary=[],
        attempts=[],
        overstays=[],
        happened=[],
        incidents=[],
        drained=True,
    )
    return dataclasses.replace(sound, **changes)


def called_back(**told) -> Callback:
    """The callback of a success."""
    return Callback(str(UUID_1), f"{UUID_1}.1", body(None, **told))


def kinds(found: Evidence) -> set[str]:
    return {violation.kind for violation in checks.violations(found)}


def ledger(**changes) -> Ledger:
    return dataclasses.replace(evidence().ledger, **changes)


BATCH_UUID = UUID(int=9)
ITEMS = item_uuids(BATCH_UUID, 0, 2)
HOOKED = Batch(0, "anna", at_s=0, jobs=(0, 1), hook=Hook.HEALTHY)


def batch_call(place: int = 9, **others) -> Callback:
    """The callback of a batch whose first song was missing and whose second one was cancelled."""
    told = {
        "batch_uuid": str(BATCH_UUID),
        "status": "batch_ended",
        "states": {"failed": 1, "cancelled": 1},
        "tasks": [
            {"task_uuid": str(ITEMS[0]), "state": "failed", "error_code": "http_error"},
            {"task_uuid": str(ITEMS[1]), "state": "cancelled", "error_code": "cancelled"},
        ],
        "metadata": {"batch": 0},
    }
    return Callback(str(BATCH_UUID), f"{BATCH_UUID}.1", json.dumps({**told, **others}).encode(), place=place)


def batch_evidence(**changes) -> Evidence:
    """A batch as it should be, cancelled when its first song had ended, but for `changes`."""
    jobs = tuple(dataclasses.replace(JOB, number=number, batch=0) for number in (0, 1))
    batch = dataclasses.replace(HOOKED, cancelled_after_s=1.0)
    codes = ("http_error", "cancelled")
    told = [
        body(code, task_uuid=str(uuid), label=f"song {number}", metadata={"job": number})
        for number, (uuid, code) in enumerate(zip(ITEMS, codes, strict=True))
    ]
    states = dict(zip(map(str, ITEMS), ("failed", "cancelled"), strict=True))
    sound = evidence(
        plan=Plan(Options(jobs=2), jobs, (), (batch,)),
        task_uuids={number: str(uuid) for number, uuid in enumerate(ITEMS)},
        callbacks={
            number: [Callback(str(uuid), f"{uuid}.1", told[number], place=number)]
            for number, uuid in enumerate(ITEMS)
        },
        ledger=batch_ledger(),
        states=states,
        batches={0: TakenBatch(str(BATCH_UUID), tuple(map(str, ITEMS)))},
        batch_callbacks={0: [batch_call()]},
        shown_batches={0: shown_batch()},
    )
    return dataclasses.replace(sound, **changes)


def shown_batch(**changes) -> dict:
    """The batch as the api shows it."""
    states = {"failed": 1, "cancelled": 1}
    items = [{"state": "failed"}, {"state": "cancelled"}]
    return {"is_over": True, "states": states, "items": items, "called_at": 1.0, **changes}


def batch_ledger(tasks_of: tuple[UUID, ...] = tuple(ITEMS), submitted: int = 1, **changes) -> Ledger:
    """`tasks_of` are the items whose task records are there, `submitted` counts the batch's own records."""
    callback = BatchCallback(batch_uuid=BATCH_UUID, timestamp=1, states={State.FAILED: 1}, tasks=())
    record = TaskBatch(batch_uuid=BATCH_UUID, count=2, submitted_at=0, user="anna")
    order = BatchEnded(batch_uuid=BATCH_UUID, hook_url="http://h", requested_at=1, callback=callback)
    delivery = evidence().ledger.deliveries[0]
    found = ledger(
        tasks=[
            Task(task_uuid=one, audio="http://a", hook_url="http://h", submitted_at=0) for one in tasks_of
        ],
        results=[failed("http_error").model_copy(update={"task_uuid": one}) for one in tasks_of],
        deliveries=[delivery.model_copy(update={"task_uuid": one}) for one in (*tasks_of, BATCH_UUID)],
        batches=[record] * submitted + [record.model_copy(update={"ended_at": 1.0})],
        orders=[order],
    )
    return dataclasses.replace(found, **changes)
