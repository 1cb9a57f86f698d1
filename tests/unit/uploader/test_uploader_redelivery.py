"""A callback that goes out once more: as it was, with all its tries, and without a word on its run."""

import pytest

from common.errors import CrashError, ErrorCode, PermanentError, TransientError
from common.jobs import dead_letters, retry
from common.tasks.messages import Redelivery, State, Status
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, Settled, UploaderHarness, record

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")
MANIFEST = f"out/{TASK_UUID}/1/manifest.json"


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


@pytest.fixture
def harness(tmp_path, receiver):
    return UploaderHarness(tmp_path, receiver)


def over(harness: UploaderHarness, result) -> Status:
    """Returns the status that the api has of the run once the run has ended."""
    statuses = [status for settled in harness.work_out(result) for status in settled.statuses]
    assert statuses[-1].state.is_final
    return Status.model_validate_json(statuses[-1].to_bytes())


def asked_for(known: Status, requested_at: float = 200.0):
    """Returns the redelivery's record, as the api makes it."""
    asked = Redelivery(
        task_uuid=known.task_uuid,
        hook_url=known.hook_url,
        run=known.run,
        requested_at=requested_at,
        failure=known.failure,
        unstored=known.unstored,
    )
    return record(asked)


def assert_same_callback(harness: UploaderHarness, count: int) -> None:
    requests = harness.requests()
    assert len(requests) == count
    assert {request.body for request in requests} == {requests[0].body}
    assert {request.headers["webhook-id"] for request in requests} == {f"{TASK_UUID}.1"}


def statuses(tries: list[Settled]) -> list[Status]:
    return [status for settled in tries for status in settled.statuses]


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_the_same_bytes_go_out_under_the_same_id(harness, kind):
    known = over(harness, harness.staged() if kind == "success" else harness.failed())
    harness.now_s = 5000.0
    harness.handler = harness.new_handler()
    before = dict(harness.storage.objects)
    tries = harness.work_out(asked_for(known))
    assert_same_callback(harness, 2)
    assert harness.storage.objects == before
    assert statuses(tries) == []
    (delivery,) = tries[0].deliveries
    assert (delivery.try_number, delivery.status, delivery.redelivery_requested_at) == (1, 204, 200.0)


def test_a_failure_without_a_manifest_goes_out_as_it_was_even_when_there_is_one_by_now(harness):
    harness.storage.fail = lambda what, key: DOWN
    known = over(harness, harness.failed())
    assert known.unstored
    harness.storage.fail = lambda what, key: None
    harness.storage.objects[MANIFEST] = b"that of another result of the same run"
    harness.work_out(asked_for(known))
    assert_same_callback(harness, 2)


def test_a_failure_that_nobody_was_told_of_is_told_and_kept(harness):
    crashed = CrashError(ErrorCode.ENGINE_CRASHED, "given up")
    given_up = harness.given_up(harness.failed(), crashed)
    (known,) = Settled(given_up).statuses
    harness.work_out(asked_for(known))
    (request,) = harness.requests()
    assert request.body == harness.storage.objects[MANIFEST]
    assert request.json()["error_code"] == "http_error"


def test_it_has_all_the_tries_of_a_callback_and_is_kept_when_nobody_takes_it(harness):
    known = over(harness, harness.staged())
    harness.receiver.answer(500)
    tries = harness.work_out(asked_for(known))
    assert_same_callback(harness, 4)
    deliveries = [delivery for settled in tries for delivery in settled.deliveries]
    assert [d.try_number for d in deliveries] == [1, 2, 3]
    assert [d.next_try_at for d in deliveries] == [99.0 + 30, 99.0 + 300, None]
    assert {d.redelivery_requested_at for d in deliveries} == {200.0}
    (letter,) = [letter for settled in tries for letter in settled.letters]
    assert dict(letter.headers)[retry.TRIES] == b'{"callback":3}'
    assert statuses(tries) == []
    # Its replay is the same redelivery.
    harness.receiver.answer(204)
    harness.work_out(record(Redelivery.model_validate_json(letter.value)))
    assert_same_callback(harness, 5)


def test_a_receiver_that_is_gone_is_asked_once(harness):
    known = over(harness, harness.staged())
    harness.receiver.answer(410)
    (settled,) = harness.work_out(asked_for(known))
    (letter,) = settled.letters
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"callback_gone"
    assert settled.statuses == []


def test_a_store_that_is_away_is_waited_for_and_each_try_noted(harness):
    known = over(harness, harness.staged())
    harness.storage.fail = lambda what, key: DOWN
    (waiting,) = (settled := harness.work(asked_for(known))).results
    (delivery,) = settled.deliveries
    assert (delivery.try_number, delivery.status, delivery.error_code) == (1, None, "storage_error")
    assert delivery.next_try_at == 99.0 + 30
    harness.storage.fail = lambda what, key: None
    harness.work_out(waiting)
    assert_same_callback(harness, 2)


@pytest.mark.parametrize("error", [DOWN, PermanentError(ErrorCode.STORAGE_ERROR, "AccessDenied"), None])
def test_a_callback_that_cannot_be_read_is_given_up_with_a_letter_and_makes_no_failure(harness, error):
    known = over(harness, harness.staged())
    if error is None:
        harness.storage.objects.clear()
    else:
        harness.storage.fail = lambda what, key: error
    tries = harness.work_out(asked_for(known))
    assert len(harness.requests()) == 1
    assert statuses(tries) == []
    assert tries[-1].results == []
    (letter,) = tries[-1].letters
    assert Redelivery.model_validate_json(letter.value).task_uuid == TASK_UUID
    assert tries[-1].deliveries[-1].error_code == "storage_error"


def test_one_that_kills_its_worker_says_nothing_of_the_run(harness):
    known = over(harness, harness.staged())
    crashed = CrashError(ErrorCode.ENGINE_CRASHED, "given up: 3 attempts were begun")
    assert [m.topic for m in harness.given_up(asked_for(known), crashed).messages] == ["dead"]


def test_the_end_of_a_run_tells_all_that_a_redelivery_needs(harness):
    known = over(harness, harness.failed())
    assert known.state is State.FAILED
    assert (known.hook_url, known.unstored) == (harness.receiver.hook_url, False)
    assert known.failure.to_bytes() == harness.storage.objects[MANIFEST]
