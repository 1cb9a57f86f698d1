"""The store fails: for now, for good, or only in what it answers; the user hears of one end."""

import json

import pytest

from common.errors import CrashError, ErrorCode, PermanentError, TransientError
from common.jobs import dead_letters
from common.tasks.messages import SeparationFailed, decode_result
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
