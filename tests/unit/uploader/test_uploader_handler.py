"""A result's life in the uploader: what is stored, what the user hears, and when staged files go."""

import hashlib
import json

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, PermanentError, TransientError
from common.jobs import dead_letters
from common.jobs.outcome import Poison
from common.kafka.records import Record
from common.tasks.messages import SeparationFailed, decode_result
from tests.support.common.worker.fakes import FakeContext, InThread
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import STEMS, TASK_UUID, UploaderHarness

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")
REFUSED = PermanentError(ErrorCode.STORAGE_ERROR, "The result could not be stored: AccessDenied (403)")
PREFIX = f"out/{TASK_UUID}/1/"
MANIFEST = PREFIX + "manifest.json"


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def test_stems_then_manifest_then_callback(harness):
    settled = harness.work(harness.staged())
    assert harness.storage.calls == [
        ("get_manifest", MANIFEST),
        ("put_file", PREFIX + "vocals.wav"),
        ("put_file", PREFIX + "instrumental.wav"),
        ("put_manifest", MANIFEST),
    ]
    (request,) = harness.requests()
    assert request.body == harness.storage.objects[MANIFEST]
    assert request.headers["webhook-id"] == f"{TASK_UUID}.1"
    body = request.json()
    assert (body["status"], body["task_uuid"], body["timestamp"]) == ("success", str(TASK_UUID), 99.0)
    assert body["vocals"] == f"https://store.example/{PREFIX}vocals.wav"
    assert body["stems"]["instrumental"] == {
        "url": body["instrumental"],
        "sha256": hashlib.sha256(b"instrumental").hexdigest(),
        "bytes": 12,
        "duration_s": 1.5,
    }
    assert (body["model"], body["device"], body["gain"], body["expires_at"]) == ("centre", "cpu", 0.5, 1234.0)
    assert [m.topic for m in settled.done.messages] == ["deliveries", "status"]


def test_staged_files_leave_sight_with_the_manifest_and_the_disk_with_the_commit(harness):
    result = harness.staged()
    done = harness.run(result)
    assert not harness.stage.path(result.stems["vocals"].key).exists()
    assert harness.files() == ["instrumental.wav", "vocals.wav"]
    done.after_commit()
    assert harness.files() == []


def test_what_was_published_before_is_neither_uploaded_nor_built_again(harness):
    harness.run(harness.staged())
    harness.storage.calls.clear()
    harness.run(harness.staged())
    assert harness.storage.uploads == []
    first, second = harness.requests()
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_a_repeat_finds_the_manifest_even_when_its_staged_files_are_gone(harness):
    result = harness.staged()
    harness.run(result).after_commit()
    assert harness.work(result).results == []
    assert [body["status"] for body in harness.callbacks()] == ["success", "success"]


def test_of_two_results_side_by_side_one_is_published_and_both_are_told_the_same(harness):
    harness.storage.go_on.clear()
    first = InThread(harness.run, harness.staged(offset=5))
    assert harness.storage.entered.wait(10)
    second_context = FakeContext()
    second = InThread(harness.run, harness.staged(offset=6), second_context)
    while not second_context.checks:  # it waits for the first
        assert second.waits
    harness.storage.go_on.set()
    for job in (first, second):
        job.result().after_commit()
    assert len(harness.storage.uploads) == 2
    bodies = [request.body for request in harness.requests()]
    assert bodies[0] == bodies[1]
    assert harness.files() == []


def test_the_first_manifest_is_what_is_sent_whoever_wrote_it(harness):
    theirs = b'{"status": "success", "by": "another uploader"}'

    def be_overtaken(what: str, key: str) -> None:
        if what == "put_manifest":
            harness.storage.objects.setdefault(key, theirs)

    harness.storage.fail = be_overtaken
    harness.run(harness.staged())
    assert harness.requests()[0].body == theirs
    assert PREFIX + "vocals.wav" in harness.storage.objects


def test_a_failure_is_told_with_its_code_and_the_time_it_happened(harness):
    assert harness.work(harness.failed()).results == []
    assert harness.callbacks() == [
        {
            "task_uuid": str(TASK_UUID),
            "status": "failed",
            "timestamp": 2.0,
            "error_code": "http_error",
            "error_message": "HTTP error: 404",
        }
    ]
    assert harness.storage.uploads == []


def test_a_job_that_is_cancelled_tells_nobody_and_keeps_the_staged_files(harness):
    with pytest.raises(Cancelled):
        harness.run(harness.staged(), FakeContext(cancel_after=0))
    assert harness.callbacks() == []
    assert len(harness.files()) == 2
    # and its key is free again
    harness.run(harness.staged())
    assert len(harness.callbacks()) == 1


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"status": "odd"}'])
def test_what_is_no_result_is_poison(harness, value):
    assert isinstance(harness.handler.decode(Record("results", 0, 0, None, value)), Poison)


# The store fails


def test_a_short_outage_is_ridden_out_and_the_user_hears_of_a_success_alone(harness):
    harness.storage.fail = lambda what, key: DOWN
    (waiting,) = harness.work(harness.staged()).results
    assert waiting.topic == "results_retry_30s"
    assert harness.callbacks() == []
    harness.storage.fail = lambda what, key: None
    harness.work_out(waiting)
    assert [body["status"] for body in harness.callbacks()] == ["success"]
    assert harness.files() == []


def test_with_the_store_down_for_good_the_user_hears_of_it_and_the_stems_wait_for_a_replay(harness):
    harness.storage.fail = lambda what, key: DOWN
    tries = harness.work_out(harness.staged())
    (body,) = harness.callbacks()
    assert (body["status"], body["error_code"], body["error_message"]) == (
        "failed",
        "storage_error",
        DOWN.message,
    )
    (letter,) = [letter for settled in tries for letter in settled.letters]
    assert decode_result(letter.value).status == "success"
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"storage_error"
    assert harness.files() == ["instrumental.wav", "vocals.wav"]


def test_a_store_that_refuses_us_for_good_is_told_without_waiting(harness):
    harness.storage.fail = lambda what, key: REFUSED
    tries = harness.work_out(harness.staged())
    assert not [r for settled in tries for r in settled.results if "retry" in r.topic]
    assert [body["status"] for body in harness.callbacks()] == ["failed"]


def test_bad_news_told_without_a_store_stays_the_same_when_the_store_is_back_with_other_news(harness):
    harness.storage.fail = lambda what, key: REFUSED
    harness.receiver.answer(500)
    (unstored,) = harness.work(harness.failed()).results
    assert harness.callbacks() == []
    (waiting,) = harness.work(unstored).results
    harness.storage.fail = lambda what, key: None
    harness.storage.objects[MANIFEST] = b'{"status": "success"}'
    harness.work(waiting)
    first, second = harness.requests()
    assert first.body == second.body
    assert first.json()["status"] == "failed"


def test_what_was_told_from_a_manifest_is_not_told_otherwise_when_the_store_goes_away(harness):
    harness.storage.objects[MANIFEST] = b'{"status": "success"}'
    harness.receiver.answer(500)
    (waiting,) = harness.work(harness.failed()).results
    harness.storage.fail = lambda what, key: REFUSED
    harness.work_out(waiting)
    assert [body["status"] for body in harness.callbacks()] == ["success"]


def test_a_manifest_that_was_written_although_the_store_said_no_is_the_truth(harness):
    def write_and_say_no(what: str, key: str):
        if what != "put_manifest" or key in harness.storage.objects:
            return None
        harness.storage.objects[key] = b'{"status": "success"}'
        return REFUSED

    harness.storage.fail = write_and_say_no
    harness.work_out(harness.staged())
    assert [body["status"] for body in harness.callbacks()] == ["success"]


def test_of_an_upload_that_failed_for_good_nothing_stays_in_the_store_but_the_manifest(harness):
    harness.storage.objects["out/others/1/vocals.wav"] = b"not ours"
    harness.storage.fail = lambda what, key: DOWN if key.endswith("instrumental.wav") else None
    harness.work_out(harness.staged())
    assert sorted(harness.storage.objects) == sorted([MANIFEST, "out/others/1/vocals.wav"])
    assert json.loads(harness.storage.objects[MANIFEST])["status"] == "failed"
    assert harness.files() == ["instrumental.wav", "vocals.wav"]


def test_stems_that_lose_to_a_failure_s_manifest_do_not_stay(harness):
    def fail_first(what: str, key: str) -> None:
        if what == "put_manifest":
            failure = b'{"task_uuid": "%s", "status": "failed", "timestamp": 1, "error_code": "x", '
            failure += b'"error_message": "y"}'
            harness.storage.objects.setdefault(key, failure % str(TASK_UUID).encode())

    harness.storage.fail = fail_first
    harness.work(harness.staged())
    assert list(harness.storage.objects) == [MANIFEST]
    assert [body["status"] for body in harness.callbacks()] == ["failed"]


@pytest.mark.parametrize("error", [DOWN, REFUSED, CrashError(ErrorCode.ENGINE_CRASHED)])
def test_a_failure_that_finds_a_success_tells_the_success_and_removes_nothing(harness, error):
    """One worker gives a result up that another has published."""
    result = harness.staged()
    harness.run(result)
    given_up = harness.given_up(result, error)
    failed = next(decode_result(m.value) for m in given_up.messages if m.topic == "results")
    assert isinstance(failed, SeparationFailed)
    harness.work_out(failed)
    assert [body["status"] for body in harness.callbacks()] == ["success", "success"]
    assert {PREFIX + f"{name}.wav" for name in STEMS} < set(harness.storage.objects)


# Replays


def test_a_replay_takes_the_staged_files_where_they_are_still_there(harness):
    harness.storage.fail = lambda what, key: REFUSED
    result = harness.staged()
    harness.work_out(result)
    harness.storage.fail = lambda what, key: None
    harness.work_out(result.model_copy(update={"run": 2}))
    assert [(body["status"]) for body in harness.callbacks()] == ["failed", "success"]
    assert harness.callbacks()[1]["vocals"].endswith("/2/vocals.wav")
    assert [r.headers["webhook-id"] for r in harness.requests()] == [f"{TASK_UUID}.1", f"{TASK_UUID}.2"]
    assert harness.files() == []


def test_a_replay_of_a_delivered_result_copies_what_the_run_before_it_published(harness):
    result = harness.staged()
    harness.work_out(result)
    harness.now_s = 500.0
    for run in (3, 4):  # run 2 has left nothing
        if run == 4:  # the newest run is tried first
            del harness.storage.objects[PREFIX + "manifest.json"]
        harness.work_out(result.model_copy(update={"run": run}))
        for name in STEMS:
            assert harness.storage.objects[f"out/{TASK_UUID}/{run}/{name}.wav"] == name.encode()
    _, third, _ = harness.callbacks()
    assert third["vocals"] == f"https://store.example/out/{TASK_UUID}/3/vocals.wav"
    assert third["timestamp"] == 500.0


@pytest.mark.parametrize("found", ["nothing", "a failure", "other bytes", "a manifest without its stems"])
def test_a_replay_whose_stems_are_nowhere_fails_as_stage_missing(harness, found):
    result = harness.staged()
    if found == "a failure":
        harness.work_out(harness.failed())
    elif found != "nothing":
        harness.work_out(result)
    if found == "a manifest without its stems":
        del harness.storage.objects[PREFIX + "vocals.wav"]
    if found == "other bytes":
        stems = {n: s.model_copy(update={"sha256": "1" * 64}) for n, s in result.stems.items()}
        result = result.model_copy(update={"stems": stems})
    for name in STEMS:
        harness.stage.path(result.stems[name].key).unlink(missing_ok=True)
    harness.work_out(result.model_copy(update={"run": 2}))
    body = harness.callbacks()[-1]
    assert (body["status"], body["error_code"]) == ("failed", "stage_missing")
    assert [key for key in harness.storage.objects if "/2/" in key] == [f"out/{TASK_UUID}/2/manifest.json"]


def test_an_upload_tells_the_sweep_that_its_stems_are_still_wanted(harness):
    harness.storage.fail = lambda what, key: DOWN if what == "put_file" else None
    result = harness.staged()
    attempt_dir = harness.stage.path(result.stems["vocals"].key).parent
    kept = []
    harness.stage.keep = kept.append
    harness.work(result)
    assert [harness.stage.path(key).parent for key in kept] == [attempt_dir]
