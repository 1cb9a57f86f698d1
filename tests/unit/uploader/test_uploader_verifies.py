"""The uploader publishes nothing but the very files that the processor has staged and announced."""

import json
import os
import socket
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness

MANIFEST = f"out/{TASK_UUID}/1/manifest.json"


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def assert_failed_without_an_object(harness, result) -> None:
    """Its callback says so, its manifest names no stem, and the store holds nothing else."""
    harness.work_out(result)
    (body,) = harness.callbacks()
    assert (body["status"], body["error_code"]) == ("failed", "stage_mismatch")
    assert str(harness.stage.root) not in body["error_message"]
    assert list(harness.storage.objects) == [MANIFEST]
    assert json.loads(harness.storage.objects[MANIFEST]) == body


@pytest.mark.parametrize(
    "key",
    [
        "../../secret.wav",
        "/etc/passwd",
        "{task}/../{task}/vocals.wav",
        "{task}/tasks-0-5.1/../vocals.wav",
        "{task}/tasks-0-5.1/vocals.wav/",
        "{task}/tasks-0-5.1//vocals.wav",
        "./{task}/tasks-0-5.1/vocals.wav",
        "{task}/tasks-0-5.1/vocals.wav\n",
        "{task}/tasks-0-5.1/vocals.wav\0",
        "{task}/tasks-0-5.1/vocals.wav.part",
        "{task}/tasks-0-5.1/passwd",
        "{task}/tasks-0-5.1.retired/vocals.wav",
        "{task}/tasks-0-5.\u0661/vocals.wav",
        "{TASK}/tasks-0-5.1/vocals.wav",
        "00000000-0000-0000-0000-000000000007/tasks-0-5.1/vocals.wav",  # another's stems
        "{task}/" + "x" * 5000 + ".1/vocals.wav",
        "",
    ],
    ids=range(17),
)
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_key_that_this_tasks_processor_cannot_have_staged_is_never_read(harness, key, cancelled):
    result = harness.staged()
    other = harness.stage.root / str(UUID(int=7)) / "tasks-0-5.1"
    other.mkdir(parents=True)
    (other / "vocals.wav").write_bytes(b"vocals")
    stem = result.stems["vocals"].model_copy(
        update={"key": key.format(task=TASK_UUID, TASK=str(TASK_UUID).upper())}
    )
    result = result.model_copy(update={"stems": {"vocals": stem}, "cancel_at": 1.0 if cancelled else None})
    if cancelled:  # what is given up then is removed from the stage
        harness.work_out(result)
        assert [body["error_code"] for body in harness.callbacks()] == ["deadline_exceeded"]
    else:
        assert_failed_without_an_object(harness, result)
    assert (other / "vocals.wav").exists()


@pytest.mark.parametrize(
    "name", ["", "..", "../1/vocals", "a/b", "a b", "Vocals", "manifest.json", "x" * 65, "v\n"], ids=range(9)
)
def test_a_stem_whose_name_no_separator_makes_is_not_published(harness, name):
    result = harness.staged()
    renamed = {name: result.stems["vocals"], "instrumental": result.stems["instrumental"]}
    assert_failed_without_an_object(harness, result.model_copy(update={"stems": renamed}))


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"bytes": 5}, {"bytes": 7}, {"bytes": 0}])
def test_what_is_not_what_was_announced_is_not_published(harness, change):
    result = harness.staged()
    stem = result.stems["vocals"].model_copy(update=change)
    assert_failed_without_an_object(harness, result.model_copy(update={"stems": {"vocals": stem}}))


@pytest.mark.parametrize("at", ["the task", "the attempt", "the file"])
@pytest.mark.parametrize("target", ["outside", "inside"])
def test_a_link_in_the_stage_is_not_followed_whatever_component_it_is(harness, tmp_path, at, target):
    """Even where it leads to the very bytes that were announced."""
    result = harness.staged()
    result = result.model_copy(update={"stems": {"vocals": result.stems["vocals"]}})
    path = harness.stage.path(result.stems["vocals"].key)
    linked = {"the task": path.parent.parent, "the attempt": path.parent, "the file": path}[at]
    moved = (tmp_path if target == "outside" else harness.stage.root) / "moved"
    linked.rename(moved)
    linked.symlink_to(moved)
    assert_failed_without_an_object(harness, result)


@pytest.mark.parametrize("kind", ["pipe", "directory", "socket", "device"])
def test_what_is_no_regular_file_is_not_read(harness, kind):
    result = harness.staged()
    result = result.model_copy(update={"stems": {"vocals": result.stems["vocals"]}})
    path = harness.stage.path(result.stems["vocals"].key)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case "socket":
                bind_below(listening, path)
            case "device":
                path.symlink_to("/dev/zero")
        assert_failed_without_an_object(harness, result)


def bind_below(listening: socket.socket, path: Path) -> None:
    """A socket's path may have 107 bytes at most."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        listening.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
