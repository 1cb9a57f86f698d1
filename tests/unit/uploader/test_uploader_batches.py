"""A batch's one callback: retried as the others, the same bytes under one id, and delivered once."""

from uuid import uuid4

import pytest

from common.errors import ErrorCode, TransientError
from common.tasks.messages import BatchCallback, BatchEnded, EndedTask, HookTest, State
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import Killed, UploaderHarness, record

BATCH = uuid4()
DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


@pytest.fixture
def harness(tmp_path, receiver):
    return UploaderHarness(tmp_path, receiver)


def order(receiver, timestamp: float = 5.0, **fields):
    tasks = (EndedTask(task_uuid=uuid4(), state=State.SUCCEEDED),)
    body = BatchCallback(batch_uuid=BATCH, timestamp=timestamp, states={State.SUCCEEDED: 1}, tasks=tasks)
    ended = {"batch_uuid": BATCH, "hook_url": receiver.hook_url, "requested_at": 9.0, "user": "alice"}
    return record(BatchEnded(**ended | fields, callback=body))


def test_the_batch_is_told_of_once_whoever_orders_it(harness, receiver):
    (settled,) = harness.work_out(order(receiver))
    (delivery,) = settled.deliveries
    assert (delivery.task_uuid, delivery.try_number, delivery.status) == (BATCH, 1, 204)
    assert settled.statuses == []
    # Of another api, which saw the end a moment later. Its record is that of the try that was delivered.
    (second,) = harness.work_out(order(receiver, timestamp=6.0))
    assert second.deliveries == [delivery]
    (request,) = harness.requests()
    assert request.headers["webhook-id"] == f"{BATCH}.1"
    assert b'"timestamp":5.0' in request.body
    assert b'"status":"batch_ended"' in request.body


def test_every_try_has_the_bytes_of_the_first_order(harness, receiver):
    receiver.answer(500)
    first = harness.work(order(receiver))
    receiver.answer(204)
    tries = [first, *harness.work_out(order(receiver, timestamp=6.0))]
    assert len(harness.requests()) == 2
    assert {request.body for request in harness.requests()} == {harness.requests()[0].body}
    assert {request.headers["webhook-id"] for request in harness.requests()} == {f"{BATCH}.1"}
    assert [one.status for settled in tries for one in settled.deliveries] == [500, 204]


def test_a_callback_that_nobody_takes_is_kept_as_a_dead_letter(harness, receiver):
    receiver.answer(500)
    tries = harness.work_out(order(receiver))
    assert [len(settled.letters) for settled in tries] == [0, 0, 1]


def test_a_store_that_is_away_delays_the_callback(harness, receiver):
    harness.storage.fail = lambda what, key: DOWN if what == "put_manifest" else None
    first = harness.work(order(receiver))
    assert (harness.requests(), first.deliveries[0].error_code) == ([], "storage_error")
    harness.storage.fail = lambda what, key: None
    harness.work_out(order(receiver))
    assert len(harness.requests()) == 1


@pytest.mark.parametrize("point", [("before", "put_manifest"), ("after", "put_manifest")])
def test_an_uploader_that_dies_before_the_call_leaves_it_to_the_next_one(harness, receiver, point):
    harness.storage.kill_at = point
    with pytest.raises(Killed):
        harness.work(order(receiver))
    assert harness.requests() == []
    harness.storage.kill_at = None
    harness.handler = harness.new_handler()
    harness.work_out(order(receiver))
    assert len(harness.requests()) == 1


def test_a_mark_of_an_earlier_version_is_heeded_too(harness, receiver):
    harness.storage.objects[f"out/batches/{BATCH}/delivered.json"] = b"{}"
    (settled,) = harness.work_out(order(receiver))
    assert (settled.deliveries, harness.requests()) == ([], [])


def test_a_redelivery_has_the_bytes_that_went_out_before_and_tries_of_its_own(harness, receiver):
    receiver.answer(500)
    given_up = harness.work_out(order(receiver))
    again = {"timestamp": 7.0, "is_redelivery": True, "requested_at": 50.0, "user": "root"}
    failed = harness.work_out(order(receiver, **again))
    receiver.answer(204)
    for _ in range(2):  # the second one although the first one was taken
        (settled,) = harness.work_out(order(receiver, **again))
        (delivery,) = settled.deliveries
        assert (delivery.try_number, delivery.status, delivery.redelivery_requested_at) == (1, 204, 50.0)
    assert [one.try_number for settled in failed for one in settled.deliveries] == [1, 2, 3]
    assert [len(settled.letters) for settled in failed] == [0, 0, 1]
    assert len(harness.requests()) == len(given_up) + len(failed) + 2
    assert {request.body for request in harness.requests()} == {harness.requests()[0].body}
    assert {request.headers["webhook-id"] for request in harness.requests()} == {f"{BATCH}.1"}
    assert b'"timestamp":5.0' in harness.requests()[0].body


def test_a_redelivery_sends_its_own_bytes_where_no_uploader_has_come_so_far(harness, receiver):
    harness.work_out(order(receiver, timestamp=7.0, is_redelivery=True))
    (request,) = harness.requests()
    assert b'"timestamp":7.0' in request.body


def test_a_hook_test_calls_once_whatever_comes_of_it(harness, receiver):
    receiver.answer(500)
    test = HookTest(test_uuid=BATCH, hook_url=receiver.hook_url, requested_at=9.0, user="alice")
    (settled,) = harness.work_out(record(test))
    (delivery,) = settled.deliveries
    assert (delivery.task_uuid, delivery.status, delivery.next_try_at) == (BATCH, 500, None)
    (request,) = harness.requests()
    assert request.json() == {"task_uuid": str(BATCH), "status": "test", "timestamp": 9.0}
    assert request.headers["webhook-id"] == f"{BATCH}.1"
