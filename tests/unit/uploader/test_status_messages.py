"""The uploader reports a run's end, or its wait, at the end of each try."""

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks.job_status import Statuses
from common.tasks.messages import State
from tests.support.common.worker.fakes import MemoryOutbox
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def test_a_delivered_success_has_the_links_of_its_callback(harness):
    (status,) = harness.work(harness.staged()).statuses
    (body,) = harness.callbacks()
    assert (status.state, status.progress) == ("succeeded", 1.0)
    assert (status.model, status.error_code) == ("centre", None)
    assert status.result.model_dump(mode="json", exclude_none=True) == body
    assert status.times.keys() == {State.QUEUED, State.UPLOADING, State.DELIVERING, State.SUCCEEDED}


def test_a_failed_run_is_over_with_its_own_error_whatever_becomes_of_the_callback(harness):
    harness.receiver.answer(500)
    statuses = [status for settled in harness.work_out(harness.failed()) for status in settled.statuses]
    assert {(s.state, s.error_code) for s in statuses} == {("failed", "http_error")}
    # The api counts by this how many callbacks of a user wait.
    assert [s.callback_next_try_at for s in statuses] == [99.0 + 30, 99.0 + 300, None]


def test_a_callback_that_waits_is_being_delivered_and_one_that_is_lost_leaves_a_success(harness):
    harness.receiver.answer(500)
    statuses = [status for settled in harness.work_out(harness.staged()) for status in settled.statuses]
    assert [s.state for s in statuses] == ["delivering", "delivering", "succeeded"]
    assert [s.tries for s in statuses] == [(1, 0), (2, 0), (2, 0)]
    assert [s.next_try_at for s in statuses] == [99.0 + 30, 99.0 + 300, None]
    assert {s.error_code for s in statuses} == {"callback_failed"}
    assert {s.result.task_uuid for s in statuses} == {TASK_UUID}


def test_a_store_that_is_away_is_waited_for_and_given_up(harness):
    harness.storage.fail = lambda what, key: DOWN if what == "put_file" else None
    statuses = [status for settled in harness.work_out(harness.staged()) for status in settled.statuses]
    assert [s.state for s in statuses] == ["uploading", "uploading", "delivering", "failed"]
    assert [s.tries for s in statuses[:2]] == [(0, 1), (0, 2)]
    assert {s.error_code for s in statuses} == {"storage_error"}


def test_a_run_whose_callback_could_not_be_read_again_has_failed(harness):
    harness.receiver.answer(500)
    (second,) = harness.work(harness.staged()).results
    refused = PermanentError(ErrorCode.STORAGE_ERROR, "AccessDenied")
    harness.storage.fail = lambda what, key: refused
    assert [s.state for s in harness.work(second).statuses] == ["failed"]


def test_who_waits_for_stems_hears_of_them_before_the_receiver_has_answered(harness):
    outbox = MemoryOutbox()
    harness.handler._statuses = Statuses("status", outbox, lambda: 99.0)
    harness.run(harness.staged())
    before = outbox.statuses[-1]
    (body,) = harness.callbacks()
    assert before.state is State.DELIVERING
    assert before.result.model_dump(mode="json", exclude_none=True) == body


def test_the_song_is_named_in_every_status_of_its_result(harness):
    song = {"audio": "https://example.com/song.mp3"}
    harness.receiver.answer(500)
    for result in (harness.staged(), harness.failed()):
        tries = harness.work_out(result.model_copy(update=song))
        statuses = [status for settled in tries for status in settled.statuses]
        assert {status.audio for status in statuses} == {song["audio"]}
    unpublished = harness.given_up(harness.staged().model_copy(update=song), DOWN)
    assert all(song["audio"].encode() in message.value for message in unpublished.messages)
