"""A store that dies in the middle of an upload: the job may try again, and nothing stays behind."""

from uuid import uuid4

import pytest
import requests

from common.errors import ErrorCode, TransientError
from common.settings.schema import ProcessorSettings, UploaderSettings
from common.storage.bucket_stage import open_bucket_stage
from common.storage.storage_errors import StoreUnreachable
from tests.support.servers import SeaweedServer
from tests.support.uploader.staged import announced
from tests.support.waiting import wait_for
from uploader.storage import Storage

pytestmark = pytest.mark.network

KEY = "task/1/vocals.wav"


def go_on() -> None:
    """No job is cancelled here."""


@pytest.fixture
def server(tmp_path):
    server = SeaweedServer(tmp_path / "store")
    server.start()
    yield server
    server.kill()


def unfinished(server: SeaweedServer) -> list[str]:
    answer = server.address.client().list_multipart_uploads(Bucket=server.address.bucket)
    return [upload["Key"] for upload in answer.get("Uploads", [])]


@pytest.mark.slow
def test_an_upload_cut_off_by_the_store_s_death_is_done_by_the_next_try(server, tmp_path):
    values = {name.lower(): value for name, value in server.address.environment().items()}
    storage = Storage(UploaderSettings(**values))
    path = tmp_path / "vocals.wav"
    path.write_bytes(bytes(range(256)) * 4096 * 40)
    parts = []

    def kill_the_store_at_the_second_part() -> None:
        parts.append(1)
        if len(parts) == 2:
            server.kill()

    with pytest.raises(TransientError) as caught:
        storage.put_file(announced(path), KEY, kill_the_store_at_the_second_part)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    with pytest.raises(StoreUnreachable):
        storage.check_bucket()

    server.start()
    assert unfinished(server) == [KEY], "the abort could not reach the dead store"
    storage.put_file(announced(path), KEY, go_on)
    assert unfinished(server) == []
    assert requests.get(storage.url(KEY).url, timeout=60).content == path.read_bytes()


@pytest.mark.slow
def test_stems_that_a_dead_store_kept_half_of_go_once_it_is_back(server, tmp_path):
    values = {name.lower(): value for name, value in server.address.environment().items()}
    stage = open_bucket_stage(ProcessorSettings(stage="s3", **values), 1)
    task_uuid, parts, marked = uuid4(), [], stage.marked()
    for name, size_bytes in (("instrumental", 10), ("vocals", 40 * 1024**2)):
        (tmp_path / f"{name}.wav").write_bytes(b"x" * size_bytes)
    stage.put(task_uuid, "tasks-0-5", 1, tmp_path / "instrumental.wav")

    def kill_the_store_at_the_second_part() -> None:
        parts.append(1)
        if len(parts) == 3:
            server.kill()

    with pytest.raises(TransientError) as caught:
        stage.put(task_uuid, "tasks-0-5", 1, tmp_path / "vocals.wav", kill_the_store_at_the_second_part)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    wait_for(lambda: not stage.check().ok, 20, "a bad check")
    assert "stage/ in bucket" in stage.check().detail
    assert stage.marked() == marked
    stage.remove_attempt(task_uuid, "tasks-0-5", 1)

    server.start()
    assert (len(server.address.object_keys()), len(unfinished(server))) == (2, 1)
    wait_for(lambda: stage.check().ok, 20, "a good check")
    assert (server.address.object_keys(), unfinished(server)) == (["stage/.uvr-stage"], [])
