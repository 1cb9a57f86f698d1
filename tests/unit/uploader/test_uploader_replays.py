"""A replay publishes staged stems, or copies them from an earlier run of the task."""

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import STEMS, TASK_UUID, UploaderHarness

DOWN = TransientError(ErrorCode.STORAGE_ERROR, "The result could not be stored: ConnectTimeoutError")
REFUSED = PermanentError(ErrorCode.STORAGE_ERROR, "The result could not be stored: AccessDenied (403)")
PREFIX = f"out/{TASK_UUID}/1/"


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


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


def test_stems_are_named_for_people_at_the_first_run_and_where_they_are_copied(harness):
    result = harness.staged().model_copy(update={"label": "Artist - Title"})
    harness.work_out(result)
    harness.work_out(result.model_copy(update={"run": 2}))
    assert harness.storage.calls.count(("copy", f"out/{TASK_UUID}/2/vocals.wav")) == 1
    for run in (1, 2):
        named = harness.storage.dispositions[f"out/{TASK_UUID}/{run}/vocals.wav"]
        assert named.endswith("filename*=UTF-8''Artist%20-%20Title%20%28vocals%29.wav")


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


def test_a_result_in_another_stage_says_so_and_waits_for_an_uploader_that_has_it(harness):
    result = harness.staged().model_copy(update={"stage": "s3"})
    hidden = harness.stage.root.rename(harness.stage.root.with_name("elsewhere"))
    waiting = harness.work(result)
    (status,) = waiting.statuses
    assert (status.state, status.error_code) == ("uploading", "stage_missing")
    assert "STAGE=s3" in status.error_message
    hidden.rename(harness.stage.root)
    harness.work_out(waiting.results[0])
    assert [body["status"] for body in harness.callbacks()] == ["success"]


def test_a_result_in_a_stage_that_no_uploader_ever_has_is_kept_as_a_dead_letter(harness):
    result = harness.staged().model_copy(update={"stage": "s3"})
    harness.stage.root.rename(harness.stage.root.with_name("elsewhere"))
    tries = harness.work_out(result)
    assert [len(settled.letters) for settled in tries] == [0, 0, 1, 0]
    (body,) = harness.callbacks()
    assert (body["error_code"], "STAGE=s3" in body["error_message"]) == ("stage_missing", True)
