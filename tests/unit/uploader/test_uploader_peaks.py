"""The peaks of stems go with them into the store; without them a task succeeds all the same."""

import hashlib

import pytest

from common.tasks.messages import StagedObject
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness

BODY = b'{"version": 1, "resolutions": []}'


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def with_peaks(harness: UploaderHarness, **changes: object):
    result = harness.staged()
    key = f"{result.stems['vocals'].key.rpartition('/')[0]}/peaks.json"
    harness.stage.path(key).write_bytes(BODY)
    fields = {"key": key, "sha256": hashlib.sha256(BODY).hexdigest(), "bytes": len(BODY)}
    return result.model_copy(update={"peaks": StagedObject(**fields | changes)})


def key(run: int) -> str:
    return f"out/{TASK_UUID}/{run}/peaks.json"


def test_peaks_are_stored_beside_the_stems_and_copied_for_a_replay(harness):
    result = with_peaks(harness)
    harness.work_out(result)
    assert harness.storage.objects[key(1)] == BODY
    assert harness.files() == []
    harness.work_out(result.model_copy(update={"run": 2}))
    assert harness.storage.objects[key(2)] == BODY


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"bytes": 7},
        {"key": f"{TASK_UUID}/tasks-0-5.1/vocals.wav"},
        {"key": "../../etc/passwd"},
        {"key": "00000000-0000-0000-0000-000000000099/tasks-0-5.1/peaks.json"},
    ],
    ids=["another sum", "another size", "a stem", "no key", "another task"],
)
def test_peaks_that_are_not_what_was_announced_are_left_out(harness, changes):
    harness.work_out(with_peaks(harness, **changes))
    assert harness.callbacks()[-1]["status"] == "success"
    assert key(1) not in harness.storage.objects


def test_peaks_that_are_gone_do_not_fail_the_task(harness):
    result = with_peaks(harness)
    harness.stage.path(result.peaks.key).unlink()
    harness.work_out(result)
    assert harness.callbacks()[-1]["status"] == "success"
    assert key(1) not in harness.storage.objects


def test_no_stem_can_take_the_place_of_the_peaks(harness):
    result = with_peaks(harness)
    stems = {"vocals": result.stems["vocals"].model_copy(update={"key": result.peaks.key})}
    harness.work_out(result.model_copy(update={"stems": stems}))
    assert harness.callbacks()[-1]["error_code"] == "stage_mismatch"
