"""A run that ends early in the uploader: what is removed, what the user hears, and when it is too late."""

import pytest

from common.errors import ErrorCode, TransientError
from common.tasks.messages import Cancel, decode_status
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")
PREFIX = f"out/{TASK_UUID}/1/"
MANIFEST = PREFIX + "manifest.json"


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def cancel(harness: UploaderHarness) -> None:
    harness.cancels.add(Cancel(task_uuid=TASK_UUID, run=1, requested_at=2.0))


def cancel_at(harness: UploaderHarness, what: str, key: str, error: Exception | None = None) -> None:
    """Cancels the run when the handler calls the store's method `what` for `key`."""

    def fail(asked: str, of: str) -> Exception | None:
        if (asked, of) != (what, PREFIX + key):
            return None
        cancel(harness)
        return error

    harness.storage.fail = fail


def assert_cancelled(harness: UploaderHarness, tries) -> None:
    (body,) = harness.callbacks()
    assert (body["status"], body["error_code"]) == ("failed", "cancelled")
    states = [(s.state, s.error_code) for settled in tries for s in settled.statuses]
    assert states == [("delivering", "cancelled"), ("cancelled", "cancelled")]
    assert list(harness.storage.objects) == [MANIFEST]
    assert harness.files() == []
    assert [letter for settled in tries for letter in settled.letters] == []


def test_a_run_that_was_cancelled_is_not_uploaded(harness):
    cancel(harness)
    assert_cancelled(harness, harness.work_out(harness.staged()))
    assert harness.storage.uploads == []


@pytest.mark.parametrize("key", ["vocals.wav", "instrumental.wav"])
@pytest.mark.parametrize("error", [None, DOWN])
def test_of_a_run_cancelled_while_it_is_uploaded_nothing_stays(harness, key, error):
    cancel_at(harness, "put_file", key, error)
    assert_cancelled(harness, harness.work_out(harness.staged()))


def test_a_run_cancelled_while_its_manifest_is_written_has_succeeded(harness):
    cancel_at(harness, "put_manifest", "manifest.json")
    harness.receiver.answer(500)
    tries = harness.work_out(harness.staged())
    # and its callback is tried again as ever
    assert [body["status"] for body in harness.callbacks()] == ["success"] * 3
    assert tries[-1].statuses[-1].state == "succeeded"


def test_a_deadline_counts_until_the_manifest_is_there(harness):
    late = harness.staged().model_copy(update={"cancel_at": 99.0})
    tries = harness.work_out(late)
    (body,) = harness.callbacks()
    assert (body["status"], body["error_code"]) == ("failed", "deadline_exceeded")
    assert tries[-1].statuses[-1].state == "failed"
    assert harness.files() == []
    harness.now_s = 98.0
    in_time = harness.staged(run=2).model_copy(update={"cancel_at": 99.0})
    harness.receiver.answer(500)
    waiting = harness.work(in_time).results[0]
    harness.now_s = 200.0
    harness.receiver.answer(204)
    harness.work(waiting)
    assert harness.callbacks()[-1]["status"] == "success"


def test_what_has_failed_is_not_cancelled_as_well(harness):
    cancel(harness)
    tries = harness.work_out(harness.failed())
    assert [body["error_code"] for body in harness.callbacks()] == ["http_error"]
    assert tries[-1].statuses[-1].state == "failed"


def test_a_callback_told_before_is_not_taken_back_when_its_manifest_is_gone(harness):
    harness.receiver.answer(500)
    result = harness.staged()
    (waiting,) = harness.work(result).results
    cancel(harness)
    harness.storage.objects.clear()
    tries = harness.work_out(waiting)
    assert [s.error_code for settled in tries for s in settled.statuses] == ["stage_missing"]


def test_a_second_result_of_a_cancelled_run_leaves_nothing_either(harness):
    cancel(harness)
    harness.work_out(harness.staged(offset=5))
    harness.work_out(harness.staged(offset=6))
    assert {body["error_code"] for body in harness.callbacks()} == {"cancelled"}
    assert harness.files() == []


def test_the_staged_files_stay_until_the_end_is_committed(harness):
    cancel(harness)
    settled = harness.work(harness.staged())
    assert harness.files() == ["instrumental.wav", "vocals.wav"]
    settled.done.after_commit()
    assert harness.files() == []


def test_a_callback_that_nobody_takes_leaves_a_cancelled_run(harness):
    cancel(harness)
    harness.receiver.answer(500)
    tries = harness.work_out(harness.staged())
    assert {s.state for settled in tries[1:] for s in settled.statuses} == {"cancelled"}


def test_bad_news_that_no_store_takes_is_a_cancel_still(harness):
    cancel(harness)
    (failed,) = harness.work(harness.staged()).results
    given_up = harness.given_up(failed, DOWN)
    (status,) = [decode_status(m.value) for m in given_up.messages if m.topic == "status"]
    assert (status.state, status.error_code) == ("cancelled", "cancelled")
