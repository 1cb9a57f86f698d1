"""The soak's batches and users, and what its checks make of evidence about them."""

import dataclasses
from collections import Counter

import pytest

from api.submit.submission import batch_uuid
from common.tasks.messages import Separated, item_uuids
from soak import checks
from soak.batch_sender import TakenBatch, refused_key
from soak.disturbances import Kind
from soak.house import Happened
from soak.ledger import Letter
from soak.plan import Hook, Options, Plan, RefusedBatch, Wrong
from soak.planning import make_plan
from tests.support.soak_evidence import (
    BATCH_UUID,
    HOOKED,
    ITEMS,
    JOB,
    UUID_1,
    UUID_2,
    batch_call,
    batch_evidence,
    batch_ledger,
    evidence,
    kinds,
    ledger,
    shown_batch,
)


def test_a_plan_has_batches_of_all_kinds_even_if_it_is_short():
    plan = make_plan(Options(jobs=40, seed=2996, rate=1.0))
    assert [batch.cancelled_after_s is not None for batch in plan.batches] == [False, True]
    assert [batch.is_answer_lost for batch in plan.batches] == [True, False]
    assert {refused.why for refused in plan.refused} == set(Wrong)
    assert all(len({plan.jobs[number].user for number in batch.jobs}) == 1 for batch in plan.batches)
    assert any(len({plan.jobs[number].priority for number in batch.jobs}) > 1 for batch in plan.batches)
    assert len({job.user for job in plan.jobs}) == 3
    assert max(job.priority for job in plan.jobs if job.user == "cleo") == 3


@pytest.mark.parametrize("hook", [Hook.HEALTHY, None])
def test_a_batch_that_is_as_it_should_be_is_no_violation(hook):
    found = batch_evidence()
    if hook is None:
        plan = dataclasses.replace(
            found.plan, batches=(dataclasses.replace(found.plan.batches[0], hook=None),)
        )
        shown = {key: value for key, value in shown_batch().items() if key != "called_at"}
        found = dataclasses.replace(
            found, plan=plan, ledger=batch_ledger(orders=[]), batch_callbacks={}, shown_batches={0: shown}
        )
    assert not checks.violations(found)


def test_a_batch_that_was_sent_and_queued_twice_as_a_whole_is_no_violation():
    twice = batch_ledger(tasks_of=(*ITEMS, *ITEMS), submitted=2)
    assert not checks.violations(batch_evidence(ledger=twice, repeated=Counter({"batch 0": 1})))
    assert kinds(batch_evidence(ledger=twice)) == {"doubled"}
    assert kinds(batch_evidence(ledger=twice, repeated=Counter({"job 0": 1}))) == {"doubled"}


def test_a_batch_whose_answer_was_lost_was_sent_three_times():
    found = batch_evidence(ledger=batch_ledger(tasks_of=tuple(ITEMS) * 3, submitted=3))
    (batch,) = found.plan.batches
    lost = dataclasses.replace(found.plan, batches=(dataclasses.replace(batch, is_answer_lost=True),))
    assert not checks.violations(dataclasses.replace(found, plan=lost))
    four = batch_ledger(tasks_of=tuple(ITEMS) * 4, submitted=4)
    assert kinds(dataclasses.replace(found, plan=lost, ledger=four)) == {"doubled"}


def test_a_batch_that_is_called_again_without_a_reason_is_named():
    twice = {0: [batch_call(), batch_call(place=10)]}
    assert kinds(batch_evidence(batch_callbacks=twice)) == {"doubled"}
    outage = Happened("store", Kind.KILL, at_s=0, until_s=1)
    assert not kinds(batch_evidence(batch_callbacks=twice, happened=[outage]))


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": batch_ledger(tasks_of=(ITEMS[0],))},
        {"ledger": batch_ledger(tasks_of=(*ITEMS, ITEMS[1]))},
        {"ledger": batch_ledger(submitted=0)},
        {"ledger": batch_ledger(letters=[Letter(str(BATCH_UUID), "callback_failed")])},
        {"ledger": batch_ledger(orders=[])},
        {"batches": {0: TakenBatch(str(BATCH_UUID), tuple(map(str, reversed(ITEMS))))}},
        {"batch_callbacks": {}},
        {"batch_callbacks": {0: [batch_call(place=0)]}},
        {"batch_callbacks": {0: [batch_call(), batch_call(timestamp=2)]}},
        {"batch_callbacks": {0: [dataclasses.replace(batch_call(), is_signed=False)]}},
        {"batch_callbacks": {0: [dataclasses.replace(batch_call(), webhook_id="other")]}},
        {"batch_callbacks": {0: [batch_call(states={"failed": 2})]}},
        {"batch_callbacks": {0: [batch_call(tasks=[])]}},
        {"batch_callbacks": {0: [batch_call(metadata=None)]}},
        {"shown_batches": {}},
        {"shown_batches": {0: shown_batch(is_over=False)}},
        {"shown_batches": {0: shown_batch(items=[{"state": "cancelled"}, {"state": "failed"}])}},
        {"mismatches": ["batch 0 was another"]},
    ],
)
def test_a_batch_that_is_torn_or_wrongly_told_is_named(changes):
    assert "batch" in kinds(batch_evidence(**changes))


def test_a_batch_that_was_never_taken_is_lost():
    assert "lost" in kinds(batch_evidence(batches={}))


def test_a_cancelled_song_of_a_batch_that_nobody_cancelled_is_named():
    found = batch_evidence()
    plan = dataclasses.replace(found.plan, batches=(HOOKED,))
    assert "wrong end" in kinds(dataclasses.replace(found, plan=plan))


REFUSED = RefusedBatch(0, "cleo", at_s=0, count=2, wrong_item=1, why=Wrong.CEILING)
REFUSAL = (403, {"error_code": "priority_not_allowed", "problems": [{"index": 1}]})


@pytest.mark.parametrize(
    ("changes", "is_right"),
    [
        ({}, True),
        ({"refusals": {}}, False),
        ({"refusals": {0: (200, {"batch_uuid": str(BATCH_UUID)})}}, False),
        ({"refusals": {0: (403, {**REFUSAL[1], "problems": [{"index": 0}]})}}, False),
        ({"refused_requests": ["/refused/0/0.wav"]}, False),
    ],
)
def test_a_batch_that_must_be_refused_is_refused_as_a_whole(changes, is_right):
    plan = Plan(Options(jobs=1), (JOB,), (), refused=(REFUSED,))
    found = evidence(**{"plan": plan, "refusals": {0: REFUSAL}, **changes})
    assert kinds(found) == (set() if is_right else {"batch"})


def test_an_item_of_a_refused_batch_in_kafka_is_named():
    plan = Plan(Options(jobs=1), (JOB,), (), refused=(REFUSED,))
    item = item_uuids(batch_uuid("cleo", refused_key(REFUSED)), 0, 1)[0]
    task = evidence().ledger.tasks[0]
    tasks = [task, task.model_copy(update={"task_uuid": item})]
    found = evidence(plan=plan, refusals={0: REFUSAL}, ledger=ledger(tasks=tasks))
    assert {"batch", "stray"} <= kinds(found)


def test_stems_of_another_users_task_are_named():
    jobs = (JOB, dataclasses.replace(JOB, number=1, user="bela"))
    hit = Separated(
        task_uuid=UUID_1, hook_url="http://h", submitted_at=0, finished_at=1, stems={}, model="m", device="d",
        cached_from=UUID_2, user="anna",
    )  # fmt: skip
    found = evidence(
        plan=Plan(Options(jobs=2), jobs, ()),
        task_uuids={0: str(UUID_1), 1: str(UUID_2)},
        ledger=ledger(results=[hit]),
    )
    assert "privacy" in kinds(found)
