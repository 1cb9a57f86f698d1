"""Processes killed while a task uses an uploaded song: the song stays as long as it is needed, no longer."""

from uuid import UUID, uuid4

import pytest
import requests

from common.failpoint import Failpoint
from common.storage.bucket import Bucket
from common.storage.uploads import Uploads
from tests.support.api.api_process import submit
from tests.support.api.task_client import wait_for_view
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.waiting import wait_for

AUTH = ("admin", "password")


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.start("api", PROCESSOR, "uploader")
    return system


@pytest.fixture
def uploads(crashing: CrashSystem) -> Uploads:
    return Uploads(Bucket(crashing.store.client(), crashing.store.bucket), "")


def upload(crashing: CrashSystem, song: bytes) -> str:
    url = crashing.trio.services["api"].url + "/uploads"
    begun = requests.post(url, json={"filename": "a.wav", "bytes": len(song)}, auth=AUTH, timeout=30).json()
    assert requests.put(begun["url"], data=song, timeout=30).status_code == 200
    return begun["audio"]


def marks(uploads: Uploads, audio: str) -> list[str]:
    found = uploads.find("admin", UUID(audio.removeprefix("upload:")))
    return list(map(str, uploads.users(found)))


def delete(crashing: CrashSystem, audio: str) -> int:
    url = f"{crashing.trio.services['api'].url}/uploads/{audio.removeprefix('upload:')}"
    return requests.delete(url, auth=AUTH, timeout=30).status_code


@pytest.mark.slow
def test_an_upload_is_kept_for_a_task_of_a_killed_api_and_used_when_its_key_comes_again(
    crashing, uploads, song
):
    audio = upload(crashing, song)
    api = crashing.armed("api", Failpoint.API_UPLOAD_MARKED)
    body = {"audio": audio, "hook_url": crashing.trio.receiver.hook_url}
    key = {"Idempotency-Key": str(uuid4())}
    with pytest.raises(OSError, match="without response"):
        submit(api.url, body, key)
    crashing.wait_for_end(api)
    (marked,) = marks(uploads, audio)
    crashing.restart(api)
    wait_for_view(api)
    assert delete(crashing, audio) == 409
    task_uuid = submit(api.url, body, key).json()["task_uuid"]
    assert task_uuid == marked
    crashing.assert_seen_once(task_uuid)
    wait_for(lambda: marks(uploads, audio) == [], 60, "removal of the mark")
    assert delete(crashing, audio) == 204


@pytest.mark.slow
def test_an_uploader_killed_between_a_runs_end_and_its_marks_removal_removes_the_mark(
    crashing, uploads, song
):
    audio = upload(crashing, song)
    uploader = crashing.armed("uploader", Failpoint.MANIFEST_WRITTEN)
    body = {"audio": audio, "hook_url": crashing.trio.receiver.hook_url}
    task_uuid = submit(crashing.trio.services["api"].url, body).json()["task_uuid"]
    crashing.wait_for_end(uploader)
    assert marks(uploads, audio) == [task_uuid]
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid)
    wait_for(lambda: marks(uploads, audio) == [], 60, "removal of the mark")


def test_a_text_that_is_uploaded_fails_as_no_audio_and_frees_its_upload(crashing, uploads):
    api = crashing.trio.services["api"]
    files, fields = {"audio": ("song.mp3", b"this is no song\n" * 100)}, {"label": "a text"}
    queued = requests.post(f"{api.url}/generate", files=files, data=fields, auth=AUTH, timeout=30).json()

    def status() -> dict:
        return requests.get(f"{api.url}/tasks/{queued['task_uuid']}", auth=AUTH, timeout=30).json()

    wait_for(lambda: status()["state"] == "failed", 60, "end of the task")
    assert status()["error_code"] in ("not_audio", "format_unsupported")
    assert (status()["file_name"], status()["audio"]) == ("song.mp3", queued["audio"])
    wait_for(lambda: marks(uploads, queued["audio"]) == [], 60, "removal of the mark")
