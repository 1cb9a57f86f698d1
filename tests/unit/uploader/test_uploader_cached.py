"""A task gets the stems of an earlier one, or is given back to the processors."""

import json
from uuid import UUID

import pytest
from botocore.exceptions import ConnectTimeoutError

from common.errors import ErrorCode, TransientError
from common.storage import bucket_keys
from common.tasks.messages import Deletion, Separated, StagedStem, Task
from common.tasks.messages.manifest import Tombstone, as_cache_entry
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import STEMS, TASK_UUID, Killed, UploaderHarness, record

DIGEST, SOURCE = "d" * 64, UUID(int=3)
RUN = f"out/{TASK_UUID}/1/"
ENTRY = bucket_keys.cached("out/", "alice", DIGEST)
TASK = Task(task_uuid=TASK_UUID, audio="https://h.example/a?secret=1", submitted_at=1.0, user="alice")


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def computed(harness: UploaderHarness) -> Separated:
    return harness.staged().model_copy(update={"cache_digest": DIGEST, "user": "alice"})


def hit(harness: UploaderHarness, owner: str = "alice", **fields) -> Separated:
    """A result whose stems are those of the task SOURCE of `owner`, which is in the store."""
    for name in STEMS:
        harness.storage.objects[f"out/{SOURCE}/1/{name}.wav"] = name.encode()
    manifest = f"out/{SOURCE}/1/manifest.json"
    harness.storage.bucket.put(manifest, b"{}", {"Metadata": {"uvr-user": owner}})
    known = {"user": "alice", "cached_from": SOURCE, "cached_run": 1, "cache_digest": DIGEST, "task": TASK}
    result = harness.staged().model_copy(update=known | fields)
    stems = {name: stem.model_copy(update={"key": f"{name}.wav"}) for name, stem in result.stems.items()}
    return result.model_copy(update={"stems": stems})


def test_the_stems_of_an_earlier_task_are_copied_and_named_as_such(harness):
    (only,) = harness.work_out(hit(harness, label="Artist - Title"))
    assert harness.storage.uploads == []
    for name in STEMS:
        assert harness.storage.objects[f"{RUN}{name}.wav"] == name.encode()
        assert f"Artist - Title ({name}).wav" in harness.storage.dispositions[f"{RUN}{name}.wav"]
    (sent,) = harness.callbacks()
    assert sent["cached_from"] == str(SOURCE)
    assert json.loads(harness.storage.objects[f"{RUN}manifest.json"]) == sent
    assert only.statuses[-1].result.cached_from == SOURCE
    assert ENTRY not in harness.storage.objects


@pytest.mark.parametrize("gone", ["a stem", "other bytes", "the whole task"])
def test_a_task_whose_stems_vanish_is_given_back_and_nobody_is_called(harness, gone):
    result = hit(harness, run=2, cancel_at=777.0)
    if gone == "a stem":
        del harness.storage.objects[f"out/{SOURCE}/1/{STEMS[-1]}.wav"]
    elif gone == "other bytes":
        harness.storage.objects[f"out/{SOURCE}/1/{STEMS[-1]}.wav"] = b"another"
    else:
        harness.storage.bucket.put(f"out/{SOURCE}/1/manifest.json", Tombstone(deleted_at=1.0).to_bytes())
    settled = harness.work(result)
    (message,) = settled.done.messages
    assert (message.topic, message.key) == ("uvr_tasks", str(TASK_UUID).encode())
    again = Task.model_validate_json(message.value)
    assert again == TASK.model_copy(update={"cache": "refresh", "run": 2, "cancel_at": 777.0})
    assert harness.callbacks() == []
    assert f"out/{TASK_UUID}/2/manifest.json" not in harness.storage.objects


def test_no_user_gets_the_stems_of_another_whatever_a_processor_writes(harness):
    settled = harness.work(hit(harness, "bob"))
    assert [message.topic for message in settled.done.messages] == ["uvr_tasks"]
    assert [key for what, key in harness.storage.calls if what == "copy"] == []


def test_a_store_that_is_away_while_it_copies_is_tried_again(harness):
    result = hit(harness)
    down = TransientError(ErrorCode.STORAGE_ERROR, "away")
    harness.storage.fail = lambda what, key: down if what == "copy" else None
    first = harness.work(result)
    harness.storage.fail = lambda what, key: None
    (again,) = first.results
    harness.work_out(again)
    assert harness.callbacks()[0]["cached_from"] == str(SOURCE)


def test_published_stems_are_noted_for_later_tasks(harness):
    harness.work_out(computed(harness))
    manifest = json.loads(harness.storage.objects[f"{RUN}manifest.json"])
    entry = as_cache_entry(harness.storage.objects[ENTRY])
    assert (entry.task_uuid, entry.run, entry.created_at) == (TASK_UUID, 1, 99.0)
    assert {name: stem.url for name, stem in entry.stems.items()} == {n: f"{RUN}{n}.wav" for n in STEMS}
    assert {name: stem.sha256 for name, stem in entry.stems.items()} == {
        name: stem["sha256"] for name, stem in manifest["stems"].items()
    }
    assert (entry.model, entry.device, entry.gain) == ("centre", "cpu", 0.5)


def test_an_uploader_killed_before_it_has_noted_them_notes_them_when_it_is_back(harness):
    result = computed(harness)
    harness.storage.kill_at = ("after", "put_manifest")
    with pytest.raises(Killed):
        harness.run(result)
    harness.storage.kill_at = None
    assert ENTRY not in harness.storage.objects
    harness.work_out(result)
    assert ENTRY in harness.storage.objects


@pytest.mark.parametrize("newer", [False, True])
def test_a_deletion_takes_the_entry_of_its_own_stems_along(harness, newer):
    harness.work_out(computed(harness))
    if newer:
        entry = as_cache_entry(harness.storage.objects[ENTRY]).model_copy(update={"task_uuid": SOURCE})
        harness.storage.objects[ENTRY] = entry.to_bytes()
    harness.work(record(Deletion(task_uuid=TASK_UUID, run=1, requested_at=5.0, owner="alice")))
    assert (ENTRY in harness.storage.objects) == newer


def test_a_cache_that_cannot_be_written_fails_nothing(harness):
    def fail(what: str, key: str) -> None:
        raise ConnectTimeoutError(endpoint_url="http://store.example")

    harness.storage.bucket.fail = fail
    (only,) = harness.work_out(computed(harness))
    assert only.statuses[-1].state == "succeeded"


def test_the_stems_of_another_result_of_the_run_are_not_noted_as_this_ones(harness):
    harness.work_out(harness.staged())
    late = computed(harness)
    stems = {name: stem.model_copy(update={"sha256": "e" * 64}) for name, stem in late.stems.items()}
    harness.work_out(late.model_copy(update={"stems": stems}))
    assert ENTRY not in harness.storage.objects


@pytest.mark.parametrize(
    "fields",
    [
        {"task": None},
        {"stems": {"../x": StagedStem(key="vocals.wav", sha256="a" * 64, bytes=1, duration_s=1)}},
        {"stems": {"vocals": StagedStem(key="../vocals.wav", sha256="a" * 64, bytes=1, duration_s=1)}},
    ],
)
def test_a_result_that_no_processor_writes_becomes_no_key_of_the_store(harness, fields):
    settled = harness.work(record(hit(harness).model_copy(update=fields)))
    assert [letter.topic for letter in settled.letters] == ["dead"]
    assert [key for what, key in harness.storage.calls if what == "copy"] == []
