"""Old results are let go, a task at a time, and what the bucket holds is counted."""

import json
import threading
from uuid import UUID

import pytest

from common.kafka.topics import STATUS_RETENTION_S
from common.tasks.messages import Deletion, FailureCallback, State
from common.tasks.messages.manifest import Tombstone
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.memory_bucket import MemoryBucket
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness, record
from uploader import bucket_sweep
from uploader.bucket_sweep import BucketSweep, expire_by

DAY_S = 86400.0
NOW_S = 100 * DAY_S
OTHER = UUID(int=9)


class Lab:
    """A bucket with one published run of alice's, stored at `NOW_S`."""

    def __init__(self, harness: UploaderHarness):
        self.harness, self.now_s = harness, NOW_S
        self.bucket: MemoryBucket = harness.storage.bucket
        harness.work_out(harness.staged().model_copy(update={"user": "ali ce"}))
        self.bucket.modified_s = dict.fromkeys(self.bucket.bodies, NOW_S)
        self.expired: list[Deletion] = []

    def sweep(self, kept_for_s: float = 10 * DAY_S) -> BucketSweep:
        self.expired.clear()
        sweep = BucketSweep(self.bucket, "out/", kept_for_s, self.expired.extend, lambda: self.now_s)
        sweep.sweep(threading.Event())
        return sweep

    def put(self, key: str, body: bytes = b"x", age_s: float = 0.0) -> None:
        self.bucket.bodies[key], self.bucket.modified_s[key] = body, self.now_s - age_s


@pytest.fixture
def lab(tmp_path):
    with CallbackReceiver() as receiver:
        yield Lab(UploaderHarness(tmp_path, receiver))


def test_results_are_let_go_when_they_are_old_and_the_deletion_knows_all_that_is_to_stay(lab):
    lab.now_s = NOW_S + 10 * DAY_S
    lab.sweep()
    assert lab.expired == []
    lab.now_s += 1
    lab.sweep()
    assert lab.expired == [
        Deletion(
            task_uuid=TASK_UUID,
            run=1,
            requested_at=lab.now_s,
            owner="ali ce",
            submitted_at=1.0,
            state=State.SUCCEEDED,
            times={State.QUEUED: 1.0, State.SUCCEEDED: 99.0},
            audio_s=1.5,
            model="centre",
        )
    ]
    settled = lab.harness.work(record(lab.expired[0]))
    assert settled.statuses[0].user == "ali ce"
    lab.sweep()
    assert lab.expired == []


def test_0_keeps_results_for_ever(lab):
    lab.now_s = NOW_S + 10_000 * DAY_S
    lab.sweep(0)
    assert lab.expired == []


@pytest.mark.parametrize(
    ("code", "state"), [("cancelled", State.CANCELLED), ("deadline_exceeded", State.FAILED)]
)
def test_a_failure_is_let_go_as_what_it_was(lab, code, state):
    body = FailureCallback(task_uuid=OTHER, timestamp=5.0, error_code=code, error_message="no").to_bytes()
    lab.put(f"out/{OTHER}/1/manifest.json", body + b" " * 80, 11 * DAY_S)
    lab.sweep()
    assert [(found.state, found.owner) for found in lab.expired] == [(state, "")]


def test_a_task_with_a_young_run_keeps_all_of_them_and_old_runs_go_together(lab):
    lab.now_s = NOW_S + 11 * DAY_S
    second = f"out/{TASK_UUID}/2/manifest.json"
    lab.put(second, lab.bucket.bodies[f"out/{TASK_UUID}/1/manifest.json"], 1 * DAY_S)
    lab.sweep()
    assert lab.expired == []
    lab.bucket.modified_s[second] = NOW_S
    lab.sweep()
    assert [deletion.run for deletion in lab.expired] == [2]


def test_no_sweep_lets_go_of_more_than_so_many_and_the_next_one_finds_the_rest(lab, monkeypatch):
    monkeypatch.setattr(bucket_sweep, "_MOST_AT_ONCE", 2)
    body = lab.bucket.bodies[f"out/{TASK_UUID}/1/manifest.json"]
    for number in range(5):
        lab.put(f"out/{UUID(int=number)}/1/manifest.json", body, 11 * DAY_S)
    lab.sweep()
    assert len(lab.expired) == 2


class Waits:
    """Notes the waits between sweeps, and ends after three."""

    def __init__(self):
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) > 3

    def is_set(self) -> bool:
        return False


def test_while_results_are_left_the_next_sweep_comes_soon(lab, monkeypatch):
    monkeypatch.setattr(bucket_sweep, "_MOST_AT_ONCE", 2)
    lab.now_s = NOW_S + 11 * DAY_S
    body = lab.bucket.bodies[f"out/{TASK_UUID}/1/manifest.json"]
    for number in range(3):
        lab.put(f"out/{UUID(int=number)}/1/manifest.json", body, 11 * DAY_S)
    waits = Waits()

    def expire(deletions):
        for deletion in deletions:
            lab.harness.work(record(deletion))
        lab.expired.extend(deletions)

    BucketSweep(lab.bucket, "out/", 10 * DAY_S, expire, lambda: lab.now_s).run(waits)
    assert len(lab.expired) == 4
    assert waits.seconds == [60.0, 300.0, 300.0, 3600.0]


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_deletions_that_do_not_get_on_are_ordered_again_an_hour_later(lab, monkeypatch, deleted):
    monkeypatch.setattr(bucket_sweep, "_MOST_AT_ONCE", 2)
    body = lab.bucket.bodies[f"out/{TASK_UUID}/1/manifest.json"]
    for number in range(8):
        lab.put(f"out/{UUID(int=number)}/1/manifest.json", body, 11 * DAY_S)
    waits = Waits()

    def expire(deletions):
        for deletion in deletions[:deleted]:
            lab.harness.work(record(deletion))

    BucketSweep(lab.bucket, "out/", 10 * DAY_S, expire, lambda: lab.now_s).run(waits)
    assert waits.seconds == [60.0, 300.0, *([300.0, 300.0] if deleted else [3600.0, 3600.0])]


def test_traces_of_deleted_results_go_when_nobody_can_know_of_the_task_any_more(lab):
    tombstone = Tombstone(deleted_at=1764374400.123).to_bytes()
    old, young = f"out/{OTHER}/1/manifest.json", f"out/{UUID(int=10)}/1/manifest.json"
    lab.put(old, tombstone, STATUS_RETENTION_S + 1)
    lab.put(young, tombstone, STATUS_RETENTION_S - 1)
    lab.put("out/cache/abc/old.json", b"{}", 11 * DAY_S)
    lab.put("out/cache/abc/young.json", b"{}", 9 * DAY_S)
    batch = f"out/batches/{OTHER}/callback.json"
    lab.put(batch, b"{}", STATUS_RETENTION_S + 1)
    lab.put(f"out/batches/{UUID(int=10)}/callback.json", b"{}", STATUS_RETENTION_S - 1)
    before = lab.bucket.bodies.keys() - {old, batch, "out/cache/abc/old.json"}
    lab.sweep()
    assert lab.bucket.bodies.keys() == before
    assert lab.expired == []


@pytest.mark.parametrize(
    ("kept_for_s", "gone_after_s"),
    [(10 * DAY_S, STATUS_RETENTION_S), (2 * STATUS_RETENTION_S, 2 * STATUS_RETENTION_S), (0, None)],
)
def test_stems_of_a_run_without_a_manifest_go_by_age_where_results_do(lab, kept_for_s, gone_after_s):
    # Its failure was told while the store was away, so nothing else names it. Another run stays as it is.
    stray, other_run = f"out/{OTHER}/1/vocals.wav", f"out/{TASK_UUID}/2/vocals.wav"
    age_s = 10_000 * DAY_S if gone_after_s is None else gone_after_s
    lab.put(stray, age_s=age_s)
    lab.put(other_run, age_s=age_s)
    before = {*lab.bucket.bodies}
    lab.sweep(kept_for_s)
    assert lab.bucket.bodies.keys() == before
    lab.now_s += 1
    lab.sweep(kept_for_s)
    assert before - lab.bucket.bodies.keys() == (set() if gone_after_s is None else {stray, other_run})


def test_what_the_bucket_holds_is_counted_by_kind_and_what_others_keep_there_is_not(lab):
    ours = ("uploads/a/b/audio", "stage/t/p.1/vocals.wav", "cache/a/b.json", "batches/a/callback.json")
    for key in (*(f"out/{name}" for name in ours), "out/else", "x"):
        lab.put(key, b"12345")
    before = BucketSweep(lab.bucket, "out/", 0, lab.expired.extend)
    assert before.bytes_by_kind() == {}
    sweep = lab.sweep()
    results = [body for key, body in lab.bucket.bodies.items() if key.startswith(f"out/{TASK_UUID}/")]
    others = {("stage",): 5, ("uploads",): 5, ("cache",): 5, ("batches",): 5}
    assert sweep.bytes_by_kind() == {("results",): sum(map(len, results)), **others}
    assert sweep.objects_by_kind() == {("results",): 3, **dict.fromkeys(others, 1)}


def test_deletions_go_through_the_outbox_each_as_a_job_of_its_own(lab):
    class Outbox:
        def __init__(self):
            self.sent, self.dropped = {}, []

        def put(self, job, message):
            self.sent[job] = message

        def flush(self, timeout_s):
            assert not self.dropped

        def drop(self, job):
            self.dropped.append(job)

    lab.now_s = NOW_S + 11 * DAY_S
    lab.sweep()
    outbox = Outbox()
    expire_by(outbox, "results")(lab.expired)
    (message,) = outbox.sent.values()
    assert (message.topic, message.key) == ("results", str(TASK_UUID).encode())
    assert json.loads(message.value)["status"] == "delete"
    assert outbox.dropped == [*outbox.sent]
