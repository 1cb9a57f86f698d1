"""Checks that each batch was taken whole or not at all, and that its one callback tells the truth."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from api.submit.submission import batch_uuid
from common.tasks.messages import item_uuids
from soak.batch_sender import refused_key
from soak.evidence import Evidence
from soak.outside import Callback
from soak.plan import LOST_HOOKS, Batch, Hook, RefusedBatch, Wrong
from soak.violation import Violation

_REFUSALS = {Wrong.ITEM: (400, "items_invalid"), Wrong.CEILING: (403, "priority_not_allowed")}


def wrong_batches(evidence: Evidence) -> Iterator[Violation]:
    """Check all batches. The other checks see their songs, which are jobs like any other."""
    records = _Records(evidence)
    for batch in evidence.plan.batches:
        name = f"batch {batch.number} of {batch.user}"
        if batch.number not in evidence.batches:
            yield Violation("lost", f"{name}: the api never took it")
            continue
        for text in _parts(batch, evidence, records):
            yield Violation("batch", f"{name} ({evidence.batches[batch.number].batch_uuid}): {text}")
    for refused in evidence.plan.refused:
        for text in _wrongly_refused(refused, evidence, records):
            yield Violation(
                "batch", f"refused batch {refused.number} of {refused.user} ({refused.why}): {text}"
            )
    known = {UUID(taken.batch_uuid) for taken in evidence.batches.values()}
    for stray in set(records.submitted) - known:
        yield Violation("stray", f"batch {stray} in Kafka is none that a user was told of")
    for text in evidence.mismatches:
        yield Violation("batch", text)
    for path in evidence.refused_requests:
        yield Violation("batch", f"{path} was asked for, a song of a refused batch")


class _Records:
    """Counts the committed records of batches. A task that was put back after a cache hit is no other one."""

    def __init__(self, evidence: Evidence):
        ledger = evidence.ledger
        self.tasks = Counter(task.task_uuid for task in ledger.tasks if task.cache != "refresh")
        self.submitted = Counter(b.batch_uuid for b in ledger.batches if b.ended_at is None)
        self.orders = Counter(order.batch_uuid for order in ledger.orders)
        ended = [delivery for delivery in ledger.deliveries if delivery.next_try_at is None]
        self.ended_deliveries = Counter(delivery.task_uuid for delivery in ended)


def _parts(batch: Batch, evidence: Evidence, records: _Records) -> Iterator[str]:
    taken = evidence.batches[batch.number]
    ids = item_uuids(UUID(taken.batch_uuid), 0, len(batch.jobs))
    if list(map(str, ids)) != list(taken.task_uuids):
        yield f"its tasks are {taken.task_uuids}, in place of {[str(one) for one in ids]}"
    counts = [records.tasks[one] for one in ids]
    submitted = records.submitted[UUID(taken.batch_uuid)]
    # It may be queued again where the api's view was behind, but always whole: with each item and its record.
    if not submitted or set(counts) != {submitted}:
        yield f"Kafka has its record {submitted} times, and its items {counts} times"
    shown = evidence.shown_batches.get(batch.number, {})
    states = [evidence.states.get(task_uuid) for task_uuid in taken.task_uuids]
    yield from _wrongly_shown(batch, shown, states)
    if batch.hook is None:
        if orders := records.orders[UUID(taken.batch_uuid)]:
            yield f"it has no hook, and {orders} orders to call it"
        return
    if records.ended_deliveries[UUID(taken.batch_uuid)] > records.orders[UUID(taken.batch_uuid)]:
        yield "it has more ended deliveries than orders to call its hook"
    yield from _wrongly_called(batch, evidence)


def _wrongly_shown(batch: Batch, shown: dict[str, Any], states: list[str | None]) -> Iterator[str]:
    """Compare what the api shows of the batch with what it shows of the tasks."""
    items = [item["state"] for item in shown.get("items", [])]
    if not shown.get("is_over") or items != states or shown.get("states") != dict(Counter(states)):
        yield f"the api shows {shown}, and of its tasks {states}"
    if ("called_at" in shown) is not (batch.hook is not None):
        yield f"its hook is {batch.hook}, and was called at {shown.get('called_at')}"


def _wrongly_called(batch: Batch, evidence: Evidence) -> Iterator[str]:
    """Check the batch's callback: one body, of the truth, after those of all its songs."""
    taken, calls = evidence.batches[batch.number], evidence.batch_callbacks.get(batch.number, [])
    needed = batch.hook_failures if batch.hook is not None and batch.hook.endswith("at first") else 0
    if len(calls) <= needed:
        yield f"lost: its hook ({batch.hook}) was called {len(calls)} times, and refused {needed}"
    if not calls:
        return
    code = LOST_HOOKS.get(batch.hook or Hook.HEALTHY)
    letters = {
        letter.error_code for letter in evidence.ledger.letters if letter.task_uuid == taken.batch_uuid
    }
    if letters != ({code} if code else set()):
        yield f"its hook is {batch.hook}, and its dead letters are {letters}"
    if ids := {call.webhook_id for call in calls} - {f"{taken.batch_uuid}.1"}:
        yield f"its callback has other ids: {sorted(ids)}"
    if unsigned := sum(not call.is_signed for call in calls):
        yield f"{unsigned} of {len(calls)} callbacks have no valid signature"
    bodies = {call.body for call in calls}
    if len(bodies) > 1:
        yield f"its hook got {len(bodies)} different bodies: {[body.decode()[:300] for body in bodies]}"
    yield from _wrongly_told(batch, json.loads(calls[0].body), evidence)
    yield from _called_too_early(batch, calls[0], evidence)


def _wrongly_told(batch: Batch, told: dict[str, Any], evidence: Evidence) -> Iterator[str]:
    taken = evidence.batches[batch.number]
    states = [evidence.states.get(task_uuid) for task_uuid in taken.task_uuids]
    expected = {
        "batch_uuid": taken.batch_uuid,
        "status": "batch_ended",
        "states": dict(Counter(states)),
        "metadata": {"batch": batch.number},
    }
    for field, value in expected.items():
        if told.get(field) != value:
            yield f"its callback tells {field} {told.get(field)} in place of {value}"
    found = [(task["task_uuid"], task["state"]) for task in told.get("tasks", [])]
    if found != list(zip(taken.task_uuids, states, strict=True)):
        yield f"its callback tells {found} in place of {list(zip(taken.task_uuids, states, strict=True))}"
        return
    for number, task in zip(batch.jobs, told["tasks"], strict=True):
        codes = {json.loads(call.body).get("error_code") for call in evidence.callbacks.get(number, [])}
        # Of a task that was deleted before, only the state was left.
        if task.get("error_code") not in codes and not evidence.plan.jobs[number].is_deleted:
            yield f"its callback tells {task.get('error_code')} of job {number}, which was told {codes}"


def _called_too_early(batch: Batch, first: Callback, evidence: Evidence) -> Iterator[str]:
    for number in batch.jobs:
        calls = evidence.callbacks.get(number, [])
        if calls and calls[0].place > first.place:
            yield f"its hook was called before that of its job {number}"


def _wrongly_refused(refused: RefusedBatch, evidence: Evidence, records: _Records) -> Iterator[str]:
    status, problem = evidence.refusals.get(refused.number, (0, {}))
    places = [one.get("index") for one in problem.get("problems", [])]
    if (status, problem.get("error_code")) != _REFUSALS[refused.why] or places != [refused.wrong_item]:
        yield f"item {refused.wrong_item} is wrong, and the answer {status} {str(problem)[:300]}"
    own = batch_uuid(refused.user, refused_key(refused))
    ids = item_uuids(own, 0, refused.count)
    counts = [records.tasks[one] for one in ids]
    if records.submitted[own] or any(counts):
        yield f"Kafka has its record {records.submitted[own]} times, and its items {counts} times"
