"""The soak's plan, and what its checks make of evidence."""

import dataclasses
import json
import struct
from collections import Counter
from types import SimpleNamespace
from uuid import UUID

import pytest

from api.submit.submission import batch_uuid
from common.tasks.messages import (
    BatchCallback,
    BatchEnded,
    DeliveryAttempt,
    Separated,
    SeparationFailed,
    State,
    Task,
    TaskBatch,
    item_uuids,
)
from soak import checks, lives
from soak.batch_sender import TakenBatch, refused_key
from soak.disturbances import Kind
from soak.evidence import Attempt, Evidence, Overstay
from soak.house import Happened
from soak.ledger import Ledger, Letter, backward_steps
from soak.outside import Callback
from soak.plan import Batch, Choice, Hook, Job, Options, Plan, RefusedBatch, Song, Wrong
from soak.planning import make_plan

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
        ledger=Ledger([task], [failed(code)], [delivery], [], Counter()),
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


def test_a_plan_is_its_seed_s_alone():
    assert make_plan(Options(jobs=200, seed=5)) == make_plan(Options(jobs=200, seed=5))
    assert make_plan(Options(jobs=200, seed=5)).jobs != make_plan(Options(jobs=200, seed=6)).jobs


def test_other_numbers_of_workers_leave_the_jobs_as_they_are():
    assert make_plan(Options(jobs=200)).jobs == make_plan(Options(jobs=200, processors=1)).jobs


def test_what_ends_as_it_should_is_no_violation():
    assert not checks.violations(evidence())


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"callbacks": {}}, "lost"),
        ({"task_uuids": {}}, "lost"),
        ({"drained": False}, "not drained"),
        ({"states": {str(UUID_1): "separating"}}, "wrong state"),
        ({"states": {}}, "wrong state"),
        ({"ledger": ledger(results=[])}, "lost"),
        ({"ledger": ledger(results=[failed("http_error")] * 2)}, "doubled"),
        ({"ledger": ledger(deliveries=[])}, "lost"),
        ({"ledger": ledger(backward=["from 5 to 3"])}, "offset went back"),
        ({"stage": ["stem.wav"]}, "left in the stage"),
        ({"bucket": ["stage/stem.wav"]}, "left in the bucket"),
        ({"temporary": ["input.wav"]}, "left in the temporary directories"),
        ({"unfinished": ["vocals.wav"]}, "unfinished upload"),
        ({"deleted": {str(UUID_1)}}, "deletion"),
        ({"incidents": ["uploader-1 has ended by itself"]}, "process"),
        ({"intrusions": ["bela gets 200 for /tasks/1 of anna"]}, "privacy"),
    ],
)
def test_what_is_missing_too_much_or_left_is_named(changes, kind):
    assert kind in kinds(evidence(**changes))


def test_a_healthy_song_that_failed_is_named():
    plan = Plan(Options(jobs=1), (dataclasses.replace(JOB, song=Song.HEALTHY),), ())
    assert "wrong end" in kinds(evidence(plan=plan))


@pytest.mark.parametrize(
    "second",
    [
        Callback(str(UUID_1), f"{UUID_1}.1", body("http_error", timestamp=2)),
        Callback(str(UUID_1), f"{UUID_1}.2", body("http_error")),
    ],
)
def test_a_callback_with_other_bytes_or_another_id_is_named(second):
    first = evidence().callbacks[0][0]
    assert "callback" in kinds(evidence(callbacks={0: [first, second]}))


def test_a_dead_receiver_needs_a_dead_letter():
    plan = Plan(Options(jobs=1), (dataclasses.replace(JOB, hook=Hook.DEAD),), ())
    assert kinds(evidence(plan=plan)) == {"lost"}
    letters = [Letter(str(UUID_1), "callback_failed")]
    assert not kinds(evidence(plan=plan, ledger=ledger(letters=letters)))


def test_a_crash_is_fair_after_three_kills_or_freezes_past_the_session_and_not_before():
    attempts = [Attempt(str(UUID_1), n, "processor-1", at_s=10.0 * n) for n in (1, 2, 3)]
    kills = [Happened("processor-1", Kind.KILL, at_s=10.0 * n + 1, until_s=10.0 * n + 2) for n in (1, 2, 3)]
    elsewhere = dataclasses.replace(kills[1], target="processor-2")
    crashed = evidence("engine_crashed", attempts=attempts, happened=kills)
    assert not kinds(crashed)
    assert kinds(dataclasses.replace(crashed, happened=[kills[0], elsewhere, kills[2]])) == {"unfair crash"}
    frozen = Happened("processor-1", Kind.FREEZE, at_s=20.5, until_s=28.0)
    assert not kinds(dataclasses.replace(crashed, happened=[kills[0], frozen, kills[2]]))
    logged_when_thawed = dataclasses.replace(frozen, at_s=12.5, until_s=19.9)
    assert not kinds(dataclasses.replace(crashed, happened=[kills[0], logged_when_thawed, kills[2]]))
    long_before = dataclasses.replace(frozen, at_s=12.5, until_s=18.9)
    assert kinds(dataclasses.replace(crashed, happened=[kills[0], long_before, kills[2]])) == {"unfair crash"}
    shortly = dataclasses.replace(frozen, until_s=20.9)
    assert not kinds(dataclasses.replace(crashed, happened=[kills[0], shortly, *kills[1:]]))


@pytest.mark.parametrize(
    ("overstays", "broker_away_s", "verdict"),
    [
        ([], (21, 22), {"unfair crash"}),
        ([Overstay("processor-1", at_s=29)], (21, 22), set()),
        ([Overstay("processor-2", at_s=29)], (21, 22), {"unfair crash"}),
        ([Overstay("processor-1", at_s=29)], (29.5, 29.8), {"unfair crash"}),
    ],
)
def test_a_stop_counts_as_a_kill_only_where_its_grace_ran_out_and_the_broker_was_away(
    overstays, broker_away_s, verdict
):
    attempts = [Attempt(str(UUID_1), n, "processor-1", at_s=10.0 * n) for n in (1, 2, 3)]
    happened = [
        Happened("processor-1", Kind.KILL, at_s=11, until_s=12),
        Happened("processor-1", Kind.STOP, at_s=20.5, until_s=29.9),
        Happened("broker", Kind.KILL, *broker_away_s),
        Happened("processor-1", Kind.KILL, at_s=31, until_s=32),
    ]
    crashed = evidence("engine_crashed", attempts=attempts, happened=happened, overstays=overstays)
    assert kinds(crashed) == verdict


def test_a_stem_that_is_not_what_was_announced_is_named():
    url = "http://store/vocals.wav"
    stem = {"url": url, "sha256": "a", "duration_s": 1.0}
    found = evidence(callbacks={0: [called_back(stems={"vocals": stem})]}, objects={url: "b"})
    assert "stem" in kinds(found)


@pytest.mark.parametrize(
    ("deleted", "link_gives", "verdict"),
    [
        ({str(UUID_1)}, lives.GONE, set()),
        (set(), lives.GONE, {"deletion"}),
        ({str(UUID_1)}, "a", {"deletion"}),
    ],
)
def test_a_task_that_its_user_deleted_must_be_gone_with_its_stems(deleted, link_gives, verdict):
    url = "http://store/vocals.wav"
    told = called_back(stems={"vocals": {"url": url, "sha256": "a", "duration_s": 1.0}})
    job = dataclasses.replace(JOB, song=Song.HEALTHY, is_deleted=True)
    found = evidence(
        plan=Plan(Options(jobs=1), (job,), ()), callbacks={0: [told]}, deleted=deleted,
        objects={url: link_gives}, states={str(UUID_1): "succeeded"},
    )  # fmt: skip
    assert kinds(found) - {"choice"} == verdict


def test_a_run_whose_stems_in_the_cache_were_gone_has_one_more_task_and_result():
    task, delivery = evidence().ledger.tasks[0], evidence().ledger.deliveries
    from_cache = Separated(
        task_uuid=UUID_1, hook_url="http://h", submitted_at=0, finished_at=1, stems={}, model="m", device="d",
        cached_from=UUID_2, user="anna",
    )  # fmt: skip
    again = task.model_copy(update={"cache": "refresh"})
    results = [from_cache, failed("http_error")]
    assert not kinds(evidence(ledger=ledger(tasks=[task, again], results=results, deliveries=delivery)))
    assert kinds(evidence(ledger=ledger(tasks=[task, task], results=results, deliveries=delivery))) == {
        "lost"
    }


@pytest.mark.parametrize(
    ("choice", "told", "is_as_chosen"),
    [
        (Choice.NOTHING, {}, True),
        (Choice.NOTHING, {"label": "song 1"}, False),
        (Choice.NOTHING, {"metadata": None}, False),
        (Choice.ONE_STEM, {}, False),
        (Choice.OTHER_MODEL, {}, False),
        (Choice.FLAC, {}, False),
        (Choice.FLAC, {"output": {"format": "flac", "bit_depth": 16, "sample_rate_hz": 44100}}, True),
        (Choice.WINDOW, {}, False),
    ],
)
def test_a_callback_that_does_not_tell_what_was_chosen_is_named(choice, told, is_as_chosen):
    pair = {
        name: {"url": "http://s", "sha256": "a", "duration_s": 1.0} for name in ("vocals", "instrumental")
    }
    job = dataclasses.replace(JOB, choice=choice)
    callback = called_back(**{"stems": pair, **told})
    found = evidence(plan=Plan(Options(jobs=1), (job,), ()), callbacks={0: [callback]})
    assert ("choice" in kinds(found)) is not is_as_chosen


def commit(offset: int, metadata: str = "", version: int = 4) -> SimpleNamespace:
    """As Kafka 4 writes it, or as older brokers do."""
    text = metadata.encode()
    head = struct.pack(">hq", version, offset) + (struct.pack(">i", -1) if version >= 3 else b"")
    length = bytes([len(text) + 1]) if version >= 4 else struct.pack(">h", len(text))
    key = struct.pack(">hh1sh1si", 1, 1, b"g", 1, b"t", 0)
    return SimpleNamespace(key=key, value=head + length + text + struct.pack(">q", 0))


@pytest.mark.parametrize("version", [1, 3, 4])
def test_offsets_that_only_go_on_are_in_order(version):
    records = [commit(3, version=version), commit(3, version=version), commit(5, version=version)]
    assert backward_steps(records) == ([], 3)


def test_an_offset_that_goes_back_is_named():
    (text,), _ = backward_steps([commit(5), commit(3), commit(4)])
    assert text == "g went from (5, 5) back to (3, 3) in t[0]"


def test_jobs_done_out_of_order_that_are_forgotten_again_are_named():
    ahead = commit(5, '{"n":9,"a":{"5":1}}')
    (text,), _ = backward_steps([ahead, commit(5, '{"n":7,"a":{"5":1}}')])
    assert "(5, 9) back to (5, 7)" in text


def test_what_the_broker_notes_of_members_is_no_commit():
    member = SimpleNamespace(key=struct.pack(">hh1s", 2, 1, b"g"), value=b"")
    assert backward_steps([member, SimpleNamespace(key=commit(1).key, value=None)]) == ([], 0)


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


def test_a_plan_has_batches_of_all_kinds_even_if_it_is_short():
    plan = make_plan(Options(jobs=40, seed=7))
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


def test_a_batch_that_is_queued_twice_as_a_whole_is_no_violation():
    twice = batch_ledger(tasks_of=(*ITEMS, *ITEMS), submitted=2)
    assert not checks.violations(batch_evidence(ledger=twice))


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
