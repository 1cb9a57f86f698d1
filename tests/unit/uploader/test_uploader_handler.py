"""A result's life in the uploader: what is stored, what the user hears, and when staged files go."""

import hashlib

import pytest

from common.errors import Cancelled
from common.jobs.outcome import Poison
from common.kafka.records import Record
from tests.support.common.worker.fakes import FakeContext, InThread
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness

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
