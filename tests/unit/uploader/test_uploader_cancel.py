"""A run that ends early in the uploader: what is removed, what the user hears, and when it is too late."""

import pytest

from common.errors import ErrorCode, TransientError
from common.tasks.messages import Cancel, decode_status
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderBench

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")
PREFIX = f"out/{TASK_UUID}/1/"
MANIFEST = PREFIX + "manifest.json"


@pytest.fixture
def bench(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderBench(tmp_path, receiver)


def cancel(bench: UploaderBench) -> None:
    bench.cancels.add(Cancel(task_uuid=TASK_UUID, run=1, requested_at=2.0))


def cancel_at(bench: UploaderBench, what: str, key: str, error: Exception | None = None) -> None:
    """The run is cancelled when the store is asked that."""

    def fail(asked: str, of: str) -> Exception | None:
        if (asked, of) != (what, PREFIX + key):
            return None
        cancel(bench)
        return error

    bench.storage.fail = fail


def assert_cancelled(bench: UploaderBench, tries) -> None:
    (body,) = bench.callbacks()
    assert (body["status"], body["error_code"]) == ("failed", "cancelled")
    states = [(s.state, s.error_code) for settled in tries for s in settled.statuses]
    assert states == [("delivering", "cancelled"), ("cancelled", "cancelled")]
    assert list(bench.storage.objects) == [MANIFEST]
    assert bench.files() == []
    assert [letter for settled in tries for letter in settled.letters] == []


def test_a_run_that_was_cancelled_is_not_uploaded(bench):
    cancel(bench)
    assert_cancelled(bench, bench.work_out(bench.staged()))
    assert bench.storage.uploads == []


@pytest.mark.parametrize("key", ["vocals.wav", "instrumental.wav"])
@pytest.mark.parametrize("error", [None, DOWN])
def test_of_a_run_cancelled_while_it_is_uploaded_nothing_stays(bench, key, error):
    cancel_at(bench, "put_file", key, error)
    assert_cancelled(bench, bench.work_out(bench.staged()))


def test_a_run_cancelled_while_its_manifest_is_written_has_succeeded(bench):
    cancel_at(bench, "put_manifest", "manifest.json")
    bench.receiver.answer(500)
    tries = bench.work_out(bench.staged())
    # and its callback is tried again as ever
    assert [body["status"] for body in bench.callbacks()] == ["success"] * 3
    assert tries[-1].statuses[-1].state == "succeeded"


def test_a_deadline_counts_until_the_manifest_is_there(bench):
    late = bench.staged().model_copy(update={"cancel_at": 99.0})
    tries = bench.work_out(late)
    (body,) = bench.callbacks()
    assert (body["status"], body["error_code"]) == ("failed", "deadline_exceeded")
    assert tries[-1].statuses[-1].state == "failed"
    assert bench.files() == []
    bench.now_s = 98.0
    in_time = bench.staged(run=2).model_copy(update={"cancel_at": 99.0})
    bench.receiver.answer(500)
    waiting = bench.work(in_time).results[0]
    bench.now_s = 200.0
    bench.receiver.answer(204)
    bench.work(waiting)
    assert bench.callbacks()[-1]["status"] == "success"


def test_what_has_failed_is_not_cancelled_as_well(bench):
    cancel(bench)
    tries = bench.work_out(bench.failed())
    assert [body["error_code"] for body in bench.callbacks()] == ["http_error"]
    assert tries[-1].statuses[-1].state == "failed"


def test_a_callback_told_before_is_not_taken_back_when_its_manifest_is_gone(bench):
    bench.receiver.answer(500)
    result = bench.staged()
    (waiting,) = bench.work(result).results
    cancel(bench)
    bench.storage.objects.clear()
    tries = bench.work_out(waiting)
    assert [s.error_code for settled in tries for s in settled.statuses] == ["stage_missing"]


def test_a_second_result_of_a_cancelled_run_leaves_nothing_either(bench):
    cancel(bench)
    bench.work_out(bench.staged(offset=5))
    bench.work_out(bench.staged(offset=6))
    assert {body["error_code"] for body in bench.callbacks()} == {"cancelled"}
    assert bench.files() == []


def test_the_staged_files_stay_until_the_end_is_committed(bench):
    cancel(bench)
    settled = bench.work(bench.staged())
    assert bench.files() == ["instrumental.wav", "vocals.wav"]
    settled.done.after_commit()
    assert bench.files() == []


def test_a_callback_that_nobody_takes_leaves_a_cancelled_run(bench):
    cancel(bench)
    bench.receiver.answer(500)
    tries = bench.work_out(bench.staged())
    assert {s.state for settled in tries[1:] for s in settled.statuses} == {"cancelled"}


def test_bad_news_that_no_store_takes_is_a_cancel_still(bench):
    cancel(bench)
    (failed,) = bench.work(bench.staged()).results
    given_up = bench.given_up(failed, DOWN)
    (told,) = [decode_status(m.value) for m in given_up.messages if m.topic == "status"]
    assert (told.state, told.error_code) == ("cancelled", "cancelled")
