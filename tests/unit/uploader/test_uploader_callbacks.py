"""Callbacks over many tries and crashes: one id, the same bytes, a record of each, and no upload twice."""

import json

import pytest

from common.errors import ErrorCode, TransientError
from common.jobs import dead_letters, retry
from common.tasks.messages import decode_result
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import STEMS, TASK_UUID, Killed, UploaderHarness

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


@pytest.fixture
def harness(tmp_path, receiver):
    return UploaderHarness(tmp_path, receiver)


def result_of(harness, kind):
    return harness.staged() if kind == "success" else harness.failed()


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_a_callback_that_is_taken_at_the_third_try_was_the_same_each_time(harness, kind):
    harness.receiver.answer(500)
    (second,) = harness.work(result_of(harness, kind)).results
    harness.now_s += 30
    (third,) = harness.work(second).results
    assert [second.topic, third.topic] == ["results_retry_30s", "results_retry_300s"]
    harness.receiver.answer(204)
    harness.now_s += 300
    assert harness.work(third).results == []
    requests = harness.requests()
    assert len(requests) == 3
    assert len({request.body for request in requests}) == 1
    assert {request.headers["webhook-id"] for request in requests} == {f"{TASK_UUID}.1"}
    assert requests[0].json()["status"] == kind


def test_the_tries_of_a_callback_upload_nothing_and_touch_no_staged_file(harness):
    harness.receiver.answer(500)
    settled = harness.work(harness.staged())
    settled.done.after_commit()
    assert harness.files() == []
    harness.storage.calls.clear()
    harness.work_out(settled.results[0])
    assert harness.storage.calls == [("get_manifest", f"out/{TASK_UUID}/1/manifest.json")] * 2
    assert len(harness.requests()) == 3


@pytest.mark.parametrize(("kind", "state"), [("success", "succeeded"), ("failed", "failed")])
def test_a_run_that_nobody_wants_to_be_called_for_is_over_at_once(harness, kind, state):
    result = result_of(harness, kind).model_copy(update={"hook_url": None})
    (settled,) = harness.work_out(decode_result(result.to_bytes()))
    assert [message.topic for message in settled.done.messages] == ["status"]
    (status,) = settled.statuses
    assert status.state == state
    assert "delivering" not in status.times
    assert json.loads(harness.storage.objects[f"out/{TASK_UUID}/1/manifest.json"])["status"] == kind
    assert harness.requests() == []
    assert harness.files() == []


def test_a_failure_to_publish_is_over_too_when_nobody_wants_to_be_called(harness):
    harness.storage.fail = lambda what, key: DOWN if what == "put_file" else None
    tries = harness.work_out(harness.staged().model_copy(update={"hook_url": None}))
    statuses = [status for settled in tries for status in settled.statuses]
    assert (statuses[-1].state, statuses[-1].error_code) == ("failed", "storage_error")
    assert harness.requests() == []


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_a_callback_out_of_tries_is_kept_with_its_history_and_tells_no_failure(harness, kind):
    harness.receiver.answer(500)
    result = result_of(harness, kind)
    tries = harness.work_out(result)
    assert [len(settled.letters) for settled in tries] == [0, 0, 1]
    (letter,) = tries[-1].letters
    assert letter.value == result.to_bytes()
    headers = dict(letter.headers)
    assert headers[dead_letters.ERROR_CODE] == b"callback_failed"
    assert headers[retry.TRIES] == b'{"callback":3}'
    assert {body["status"] for body in harness.callbacks()} == {kind}


def test_the_tries_of_a_failure_s_callback_look_for_leftovers_once(harness):
    harness.receiver.answer(500)
    harness.work_out(harness.failed())
    assert [what for what, _ in harness.storage.calls].count("remove_unnamed") == 1


def test_each_try_is_noted_with_its_answer_and_when_the_next_one_comes(harness):
    harness.receiver.answer(503)
    tries = harness.work_out(harness.failed())
    deliveries = [delivery for settled in tries for delivery in settled.deliveries]
    assert [d.try_number for d in deliveries] == [1, 2, 3]
    assert [d.next_try_at for d in deliveries] == [99.0 + 30, 99.0 + 300, None]
    assert {(d.status, d.error_code, d.run, d.task_uuid) for d in deliveries} == {
        (503, "callback_failed", 1, TASK_UUID)
    }
    harness.receiver.answer(204)
    (delivered,) = harness.work(harness.failed()).deliveries
    assert (delivered.status, delivered.error_code, delivered.next_try_at) == (204, None, None)
    assert delivered.hook_url == harness.receiver.hook_url


@pytest.mark.parametrize(("status", "retry_after", "topic"), [
    (503, "31", "results_retry_300s"),
    (429, "30", "results_retry_30s"),
    (429, "99999", "results_retry_300s"),
    (503, "soon", "results_retry_30s"),
])  # fmt: skip
def test_a_receiver_s_wish_to_wait_is_rounded_up_to_the_next_delay(harness, status, retry_after, topic):
    harness.receiver.answer(status, [("Retry-After", retry_after)])
    settled = harness.work(harness.failed())
    assert [waiting.topic for waiting in settled.results] == [topic]
    (delivery,) = settled.deliveries
    assert delivery.next_try_at == 99.0 + int(topic.removeprefix("results_retry_").removesuffix("s"))


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_a_receiver_that_is_gone_is_not_asked_again_and_its_callback_kept(harness, kind):
    harness.receiver.answer(410)
    (settled,) = harness.work_out(result_of(harness, kind))
    (letter,) = settled.letters
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"callback_gone"
    (delivery,) = settled.deliveries
    assert (delivery.status, delivery.error_code, delivery.next_try_at) == (410, "callback_gone", None)
    assert len(harness.requests()) == 1


def test_a_hook_that_must_not_be_reached_is_put_aside(harness):
    result = harness.failed().model_copy(update={"hook_url": "http://169.254.169.254/"})
    (settled,) = harness.work_out(result)
    (letter,) = settled.letters
    assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"address_blocked"
    (delivery,) = settled.deliveries
    assert (delivery.status, delivery.error_code) == (None, "address_blocked")


@pytest.mark.parametrize("callback_retries", [0, 4])
def test_as_many_tries_as_are_set(tmp_path, receiver, callback_retries):
    receiver.answer(302)
    harness = UploaderHarness(tmp_path, receiver, callback_retries=callback_retries)
    tries = harness.work_out(harness.staged())
    assert len(harness.requests()) == callback_retries + 1
    topics = [waiting.topic for settled in tries for waiting in settled.results]
    assert topics == ["results_retry_30s", *["results_retry_300s"] * 3][:callback_retries]


def test_the_callback_has_all_its_tries_whatever_the_upload_took(harness):
    harness.storage.fail = lambda what, key: DOWN
    (waiting,) = harness.work(harness.staged()).results
    (waiting,) = harness.work(waiting).results
    harness.storage.fail = lambda what, key: None
    harness.receiver.answer(500)
    tries = harness.work_out(waiting)
    assert len(harness.requests()) == 3
    assert dict(tries[-1].letters[0].headers)[retry.TRIES] == b'{"callback":3}'


# A process is killed at each point; its successor has another time, and nothing of its memory.


POINTS = [
    *[("success", "before", what) for what in ("get_manifest", "put_file", "put_manifest")],
    *[("failed", "before", what) for what in ("get_manifest", "put_manifest")],
    *[(kind, "after", what) for kind in ("success", "failed") for what in ("put_manifest", "answered")],
]


@pytest.mark.parametrize(("kind", "when", "what"), POINTS)
def test_wherever_an_uploader_is_killed_the_callback_has_one_id_and_the_same_bytes(harness, kind, when, what):
    result = result_of(harness, kind)
    harness.storage.kill_at = (when, what)
    if what == "answered":
        harness.run(result)  # its transaction never ends
    else:
        with pytest.raises(Killed):
            harness.run(result)
    harness.storage.kill_at = None
    harness.now_s = 5000.0
    harness.handler = harness.new_handler()
    harness.work_out(result)
    requests = harness.requests()
    assert len(requests) == (2 if what == "answered" else 1)
    assert len({request.body for request in requests}) == 1
    assert {request.headers["webhook-id"] for request in requests} == {f"{TASK_UUID}.1"}
    assert requests[0].body == harness.storage.objects[f"out/{TASK_UUID}/1/manifest.json"]
    assert requests[0].json()["status"] == kind
    assert harness.files() == []


def test_killed_between_the_commit_and_the_removal_the_stems_stay_for_the_sweep_alone(harness):
    harness.work(harness.staged())
    assert harness.files() == sorted(f"{name}.wav" for name in STEMS)
    assert harness.stage.sweep(now_s=2e9 * 2, retired_for_s=300, kept_for_s=1e12) == 1
    assert harness.files() == []


def test_a_success_whose_store_is_gone_at_a_later_try_is_never_told_as_a_failure(harness):
    harness.receiver.answer(500)
    (waiting,) = harness.work(harness.staged()).results
    harness.storage.fail = lambda what, key: DOWN
    harness.receiver.answer(204)
    tries = harness.work_out(waiting)
    assert [body["status"] for body in harness.callbacks()] == ["success"]
    (letter,) = [letter for settled in tries for letter in settled.letters]
    assert decode_result(letter.value).status == "success"
