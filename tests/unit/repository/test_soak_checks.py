"""The soak's plan, and what its checks make of evidence."""

import dataclasses
import struct
from collections import Counter
from types import SimpleNamespace

import pytest

from common.tasks.messages import Separated
from soak import checks, lives
from soak.disturbances import Kind
from soak.evidence import Attempt, Overstay
from soak.house import Happened
from soak.ledger import Letter, backward_steps
from soak.outside import Callback
from soak.plan import Choice, Hook, Options, Plan, Song
from soak.planning import make_plan
from tests.support.soak_evidence import (
    JOB,
    UUID_1,
    UUID_2,
    body,
    called_back,
    evidence,
    failed,
    kinds,
    ledger,
)


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
        ({"ledger": ledger(commits=0)}, "nothing was read"),
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
    sent_again = {"repeated": Counter({"job 0": 1})}
    twice = evidence(ledger=ledger(tasks=[task, task], results=results, deliveries=delivery), **sent_again)
    assert kinds(twice) == {"lost"}


def test_stems_that_a_cancel_overtook_at_the_uploader_are_no_second_result():
    stems = Separated(
        task_uuid=UUID_1, hook_url="http://h", submitted_at=0, finished_at=1, stems={}, model="m", device="d",
        user="anna",
    )  # fmt: skip
    cancelled = failed("cancelled")
    counts = {"doubled", "lost"}
    assert not counts & kinds(evidence("cancelled", ledger=ledger(results=[stems, cancelled])))
    for results in ([stems, stems, cancelled], [stems, cancelled, cancelled], [stems, failed("http_error")]):
        assert "doubled" in kinds(evidence("cancelled", ledger=ledger(results=results)))


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
