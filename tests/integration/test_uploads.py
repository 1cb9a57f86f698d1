"""Songs that come to the api as files: in a form, and by presigned URLs, into a real store."""

import hashlib
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
import requests

from common.storage.bucket import Bucket
from common.storage.uploads import Uploads
from tests.support.api.api_server import ApiServer, api_server
from tests.support.servers import S3Store

pytestmark = pytest.mark.network

MIB = 1024 * 1024
USERS = "alice:$argon2id$"
SONG = b"RIFF" + bytes(range(256)) * 400
AUTH = ("admin", "password")


class Desk:
    """One api with a prefix of its own in the store."""

    def __init__(self, server: ApiServer, store: S3Store, prefix: str):
        self.server, self.store, self.prefix = server, store, prefix
        self.uploads = Uploads(Bucket(store.client(), store.bucket), prefix)

    def call(self, method: str, path: str, **options) -> httpx.Response:
        return httpx.request(method, self.server.url + path, auth=AUTH, timeout=30, **options)

    def form(self, song: bytes = SONG, name: str = "song.mp3", headers=None, **fields) -> httpx.Response:
        files = {"audio": (name, song)}
        return self.call("POST", "/generate", files=files, data=fields, headers=headers)

    def begin(self, song: bytes = SONG, **fields) -> dict:
        wanted = {"filename": "song.mp3", "bytes": len(song), **fields}
        answer = self.call("POST", "/uploads", json=wanted)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def upload(self, song: bytes = SONG, **fields) -> dict:
        begun = self.begin(song, **fields)
        assert requests.put(begun["url"], data=song, timeout=30).status_code == 200
        return begun

    @property
    def keys(self) -> list[str]:
        return [found.key.removeprefix(self.prefix) for found in self.uploads.bucket.objects(self.prefix)]

    @property
    def unfinished(self) -> int:
        client = self.store.client()
        found = client.list_multipart_uploads(Bucket=self.store.bucket, Prefix=self.prefix)
        return len(found.get("Uploads", []))


def _settings(store: S3Store, prefix: str, tmp_path) -> dict:
    return {
        "s3_endpoint_url": store.endpoint_url,
        "s3_bucket_name": store.bucket,
        "aws_access_key_id": store.access_key,
        "aws_secret_access_key": store.secret_key,
        "s3_prefix": prefix,
        "view_file": tmp_path / "view",
    }


@pytest.fixture
def desk(s3_store: S3Store, tmp_path) -> Iterator[Desk]:
    prefix = f"{uuid4()}/"
    with api_server(**_settings(s3_store, prefix, tmp_path), max_audio_bytes=20 * MIB) as server:
        yield Desk(server, s3_store, prefix)


def error_of(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("error_code")


@pytest.mark.parametrize("size_bytes", [1, len(SONG), 13 * MIB])
def test_a_song_in_a_form_becomes_an_upload_and_a_task(desk, size_bytes):
    song = (SONG * (size_bytes // len(SONG) + 1))[:size_bytes]
    answer = desk.form(
        song, "my song.mp3", preset="fast", stems=["vocals", "drums"], output='{"format": "mp3"}'
    )
    assert answer.status_code == 200, answer.text
    (task,) = desk.server.publisher.tasks
    assert answer.json()["task_uuid"] == str(task.task_uuid)
    assert answer.json()["audio"] == task.audio
    assert task.file_name == "my song.mp3"
    assert task.choices.preset == "fast"
    assert task.choices.stems == ("vocals", "drums")
    assert task.choices.output.format == "mp3"
    upload_id = UUID(task.audio.removeprefix("upload:"))
    upload = desk.uploads.find("admin", upload_id)
    assert upload.bytes == size_bytes
    assert upload.sha256 == hashlib.sha256(song).hexdigest()
    assert desk.uploads.open(upload).read() == song
    assert desk.uploads.users(upload) == [task.task_uuid]
    assert desk.unfinished == 0


def test_a_song_goes_straight_into_the_store_and_then_becomes_a_task(desk):
    begun = desk.begin(sha256=hashlib.sha256(SONG).hexdigest())
    path = f"/uploads/{begun['upload_id']}"
    assert error_of(desk.call("POST", "/generate", json={"audio": begun["audio"]})) == (
        409,
        "upload_incomplete",
    )
    assert desk.call("GET", path).json()["state"] == "incomplete"
    assert requests.put(begun["url"], data=SONG + b"more", timeout=30).status_code == 403
    assert requests.put(begun["url"], data=SONG, headers=begun["headers"], timeout=30).status_code == 200
    for _ in range(2):
        assert desk.call("POST", path + "/complete").json()["state"] == "complete"
    answer = desk.call("POST", "/generate", json={"audio": begun["audio"]})
    assert answer.status_code == 200, answer.text
    assert desk.call("GET", path).json()["tasks"] == [answer.json()["task_uuid"]]
    status = desk.call("GET", f"/tasks/{answer.json()['task_uuid']}").json()
    assert (status["audio"], status["file_name"]) == (begun["audio"], "song.mp3")
