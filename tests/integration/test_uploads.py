"""Songs that come to the api as files: in a form, and by presigned URLs, into a real store."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import pytest
import requests
from typer.testing import CliRunner

from api.uploads.store import UploadStore
from common.storage.bucket import Bucket
from common.storage.uploads import Uploads
from tests.support.api.api_client import basic
from tests.support.api.api_process import api_settings
from tests.support.api.api_server import ApiServer, api_server
from tests.support.ports import take_port
from tests.support.servers import S3Store
from tests.support.waiting import wait_for
from uvr_client import BadRequest, Conflict, Patience, UvrClient
from uvr_client.command import app

pytestmark = pytest.mark.network

MIB = 1024 * 1024
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


def test_parts_go_into_the_store_and_are_joined_once(desk, monkeypatch):
    monkeypatch.setattr("api.uploads.sizes._SINGLE_BYTES", MIB)
    monkeypatch.setattr("api.uploads.sizes._LEAST_PART_BYTES", 5 * MIB)
    song = (SONG * 100)[: 6 * MIB]
    begun = desk.begin(song)
    path = f"/uploads/{begun['upload_id']}/complete"
    first, second = begun["parts"]
    assert (first["bytes"], second["bytes"]) == (5 * MIB, MIB)
    bodies = song[: 5 * MIB], song[5 * MIB :]
    etags = [
        {"number": part["number"], "etag": requests.put(part["url"], data=body, timeout=30).headers["ETag"]}
        for part, body in zip(begun["parts"], bodies, strict=True)
    ]
    wrong = [etags[0], {"number": 2, "etag": '"0123456789abcdef0123456789abcdef"'}]
    assert error_of(desk.call("POST", path, json={"parts": wrong})) == (400, "upload_mismatch")
    for some in ([], etags[:1], etags[1:], [*etags, etags[1]], [*etags, {**etags[1], "number": 3}]):
        assert error_of(desk.call("POST", path, json={"parts": some})) == (400, "upload_mismatch")
        assert desk.call("GET", path.removesuffix("/complete")).json()["state"] == "incomplete"
    assert error_of(desk.call("POST", path)) == (400, "upload_mismatch")
    for _ in range(2):
        assert desk.call("POST", path, json={"parts": etags}).json()["state"] == "complete"
    upload = desk.uploads.find("admin", UUID(begun["upload_id"]))
    assert desk.uploads.open(upload).read() == song
    assert desk.unfinished == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"filename": "a", "bytes": 0}, (400, "empty_file")),
        ({"filename": "a", "bytes": 20 * MIB + 1}, (413, "too_large")),
        ({"filename": "a", "bytes": 1.5}, (400, None)),
        ({"filename": "a", "bytes": 1, "sha256": "xyz"}, (400, None)),
        ({"filename": "a" * 300, "bytes": 1}, (400, None)),
        ({"bytes": 1}, (400, None)),
    ],
)
def test_an_upload_that_cannot_be_is_not_begun(desk, wanted, expected):
    assert error_of(desk.call("POST", "/uploads", json=wanted)) == expected
    assert desk.keys == []


def test_an_upload_is_its_users_own_and_ends(desk):
    mine = desk.upload()
    foreign = desk.uploads.find("admin", UUID(mine["upload_id"])).model_copy(
        update={"user": "bob", "upload_id": uuid4()}
    )
    desk.uploads.save(foreign)
    desk.uploads.bucket.put(foreign.keys(desk.prefix).audio, SONG)
    for upload_id in (foreign.upload_id, uuid4()):
        path = f"/uploads/{upload_id}"
        answers = [
            desk.call("GET", path),
            desk.call("DELETE", path),
            desk.call("POST", path + "/complete"),
            desk.call("POST", "/generate", json={"audio": f"upload:{upload_id}"}),
        ]
        assert {error_of(answer) for answer in answers} == {(404, "upload_unknown")}
    ended = desk.uploads.find("admin", UUID(mine["upload_id"])).model_copy(update={"expires_at": 1.0})
    desk.uploads.save(ended)
    assert error_of(desk.call("POST", "/generate", json={"audio": mine["audio"]})) == (410, "upload_expired")
    assert desk.call("GET", f"/uploads/{mine['upload_id']}").json()["state"] == "expired"
    assert desk.call("DELETE", f"/uploads/{mine['upload_id']}").status_code == 204
    assert desk.server.publisher.tasks == []


def test_fifty_tasks_use_one_upload_at_once_and_it_cannot_be_deleted_meanwhile(desk):
    mine = desk.upload()
    with ThreadPoolExecutor(10) as threads:
        body = {"audio": mine["audio"]}
        answers = list(threads.map(lambda _: desk.call("POST", "/generate", json=body), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    path = f"/uploads/{mine['upload_id']}"
    assert set(desk.call("GET", path).json()["tasks"]) == {answer.json()["task_uuid"] for answer in answers}
    assert error_of(desk.call("DELETE", path)) == (409, "upload_in_use")
    assert desk.call("GET", path).json()["state"] == "complete"
    for answer in answers:
        desk.uploads.release("admin", UUID(mine["upload_id"]), UUID(answer.json()["task_uuid"]), 1.0)
    assert desk.call("DELETE", path).status_code == 204
    assert desk.keys == []


def test_a_key_that_comes_again_with_the_same_song_is_the_same_task_and_keeps_one_upload(desk):
    key = {"Idempotency-Key": "mine"}
    first = desk.form(SONG, preset="fast", headers=key).json()
    before = desk.keys
    again = desk.form(SONG, preset="fast", headers=key)
    assert again.json()["task_uuid"] == first["task_uuid"]
    assert error_of(desk.form(SONG + b"x", preset="fast", headers=key)) == (409, "key_reused")
    assert error_of(desk.form(SONG, preset="best", headers=key)) == (409, "key_reused")
    assert desk.keys == before
    assert len(desk.server.publisher.tasks) == 1


@pytest.mark.parametrize(
    ("song", "fields", "expected"),
    [
        (b"", {}, (400, "empty_file")),
        (b"x" * (20 * MIB + 1), {}, (413, "too_large")),
        (SONG, {"sha256": "0" * 64}, (400, "upload_mismatch")),
        (SONG, {"hookurl": "http://a.example/"}, (400, "field_unknown")),
        (SONG, {"hook_url": "http://127.0.0.1/"}, (400, "address_blocked")),
        (SONG, {"start_s": "soon"}, (400, None)),
        (SONG, {"output": '{"format": "wav"'}, (400, None)),
        (SONG, {"preset": ["a", "b"]}, (400, "field_repeated")),
        (SONG, {"label": "x" * 70_000}, (413, None)),
        (SONG, {f"field{n}": "x" for n in range(1000)}, (400, None)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else "",
)
def test_of_a_form_that_is_refused_nothing_stays(desk, song, fields, expected):
    assert error_of(desk.form(song, **fields)) == expected
    assert desk.keys == []
    assert desk.unfinished == 0
    assert desk.server.publisher.tasks == []


def part(name: str, body: bytes, file: str | None = None, boundary: str = "b") -> bytes:
    named = f'; filename="{file}"' if file is not None else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + body + b"\r\n"


BIG = b"x" * (6 * MIB)
END = b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (part("audio", BIG, "a.wav") + part("audio", SONG, "b.wav") + END, 400, "two songs"),
        (part("preset", b"fast") + END, 400, "no song"),
        (part("audio", b"song.mp3") + END, 400, "-F audio=@song.mp3"),
        (part("cover", SONG, "a.png") + END, 400, "takes no file"),
        (part("audio", BIG, "a.wav"), 400, "no end"),
        (part("audio", BIG, "a.wav", "another") + b"--another--\r\n", 400, "boundary"),
        (part("audio", BIG, "a.wav") + part("label", b"\xff") + END, 400, "UTF-8"),
        (part("audio", BIG, "a.wav") + part("label", b"x" * 10 * MIB) + END, 413, "MAX_BODY_BYTES"),
        (b"--b\r\nX: y\r\n\r\nbody\r\n" + END, 400, "without a name"),
        (b"--b\r\n" + b"X: y\r\n" * 50 + b"\r\nbody\r\n" + END, 400, "header"),
        (part("audio", SONG, "a.wav") + END + b"x" * 22 * MIB, 413, "larger"),
        (b"", 400, "no end"),
    ],
    ids=[
        "two",
        "none",
        "text",
        "file",
        "no-end",
        "boundary",
        "bytes",
        "10MB",
        "name",
        "head",
        "tail",
        "empty",
    ],
)
def test_a_body_that_is_no_right_form_is_refused_and_leaves_nothing(desk, body, status, said):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = desk.call("POST", "/generate", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert desk.keys == []
    assert desk.unfinished == 0


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 300}"]
)
def test_a_form_without_a_usable_boundary_is_refused(desk, content_type):
    answer = desk.call("POST", "/generate", content=b"--", headers={"Content-Type": content_type})
    assert answer.status_code == 400, answer.text


def test_a_client_that_breaks_off_leaves_nothing(desk):
    port = int(desk.server.url.rpartition(":")[2])
    head = (
        "POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: {basic(*AUTH)['Authorization']}\r\nContent-Length: 20000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(head.encode() + part("audio", BIG, "a.wav"))
        wait_for(lambda: desk.unfinished == 1, 30, "the first part's upload")
    wait_for(lambda: desk.unfinished == 0, 30, "the end of the upload")
    assert desk.keys == []


def test_who_may_not_submit_is_told_so_before_a_byte_of_the_song_is_read(desk):
    answer = httpx.post(f"{desk.server.url}/generate", files={"audio": ("a", SONG)}, auth=("admin", "wrong"))
    assert answer.status_code == 401
    assert desk.keys == []


def test_what_a_user_may_hold_is_limited(s3_store, tmp_path):
    prefix = f"{uuid4()}/"
    settings = _settings(s3_store, prefix, tmp_path)
    with api_server(**settings, max_upload_bytes_per_user=3 * MIB) as server:
        desk = Desk(server, s3_store, prefix)
        desk.upload()
        desk.begin(b"x" * MIB)
        refused = desk.call("POST", "/uploads", json={"filename": "a", "bytes": MIB + 1})
        assert error_of(refused) == (429, "too_many_uploaded_bytes")
        assert error_of(desk.form(b"x" * (MIB + 1))) == (429, "too_many_uploaded_bytes")
        assert desk.form(SONG).status_code == 200
        never = desk.call("POST", "/uploads", json={"filename": "a", "bytes": 3 * MIB + 1})
        assert error_of(never) == (413, "too_large")
        assert "MAX_UPLOAD_BYTES_PER_USER" in never.text
        assert error_of(desk.form(b"x" * (3 * MIB + 1))) == (413, "too_large")


@pytest.mark.slow
def test_what_is_refused_again_and_again_while_kafka_is_away_leaves_nothing(s3_store, stack):
    prefix = f"{uuid4()}/"
    kafka = api_settings(f"127.0.0.1:{take_port()}", KAFKA_ACK_TIMEOUT_S="1")
    api = stack.start("api", {**kafka, **s3_store.environment(), "S3_PREFIX": prefix}, wait=False)
    wait_for(lambda: api.get("/livez"), 30, "answer of /livez")
    desk = Desk(api, s3_store, prefix)
    mine = desk.upload()
    before, key = desk.keys, {"Idempotency-Key": "mine"}
    for headers in ({}, key, key):
        answers = [desk.form(SONG, headers=headers), desk.form(BIG, headers=headers)]
        if not headers:  # a key keeps an upload for the repeat
            answers += [
                desk.call("POST", "/generate", json={"audio": mine["audio"]}),
                desk.call("POST", "/batches", json={"items": [{"audio": mine["audio"]}] * 2}),
            ]
        told = {(answer.status_code, "Retry-After" in answer.headers) for answer in answers}
        assert told == {(503, True)}
        assert desk.keys == before
        assert desk.unfinished == 0
    assert desk.call("DELETE", f"/uploads/{mine['upload_id']}").status_code == 204
    assert desk.keys == []


def test_without_the_store_json_works_and_a_form_is_told_why_it_does_not(tmp_path):
    settings = {
        "s3_endpoint_url": "http://127.0.0.1:9",
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
    }
    with api_server(s3_bucket_name="gone", **settings) as server:
        desk = Desk.__new__(Desk)
        desk.server = server
        assert error_of(desk.form()) == (503, "store_unavailable")
        song = {"audio": "https://example.com/song.mp3"}
        assert desk.call("POST", "/generate", json=song).status_code == 200


@pytest.mark.parametrize("size_bytes", [len(SONG), 6 * MIB])
@pytest.mark.parametrize("way", ["form", "parts", "store out of reach"])
def test_the_client_uploads_a_file_and_says_how_far_it_is(desk, tmp_path, monkeypatch, size_bytes, way):
    if way != "form":
        monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
        monkeypatch.setattr("api.uploads.sizes._SINGLE_BYTES", MIB)
        monkeypatch.setattr("api.uploads.sizes._LEAST_PART_BYTES", 5 * MIB)
    if way == "store out of reach":
        monkeypatch.setattr(UploadStore, "_signed", lambda *_, **__: "http://127.0.0.1:9/")
    path = tmp_path / "my song.wav"
    path.write_bytes((SONG * 100)[:size_bytes])
    told = []
    with UvrClient(desk.server.url, *AUTH) as client:
        submission = client.submit(
            path, on_progress=lambda *sizes: told.append(sizes), stems=["vocals"], metadata={"a": 1}
        )
        assert client.status(submission.task_uuid).file_name == "my song.wav"
    (task,) = desk.server.publisher.tasks
    assert (task.choices.stems, task.metadata) == (("vocals",), {"a": 1})
    upload = desk.uploads.find("admin", UUID(task.audio.removeprefix("upload:")))
    assert desk.uploads.open(upload).read() == path.read_bytes()
    assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told[-1] == (size_bytes, size_bytes)
    assert desk.unfinished == 0
    assert len([key for key in desk.keys if key.endswith("upload.json")]) == 1


def test_the_client_sends_a_part_that_failed_again(desk, tmp_path, monkeypatch):
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
    path = tmp_path / "song.wav"
    path.write_bytes(SONG)
    failures = [httpx.Response(500), httpx.WriteError("broken")]
    put = httpx.Client.put

    def failing(self, *arguments, **options):
        if failures:
            failure = failures.pop()
            if isinstance(failure, Exception):
                raise failure
            return failure
        return put(self, *arguments, **options)

    monkeypatch.setattr(httpx.Client, "put", failing)
    with UvrClient(desk.server.url, *AUTH, patience=Patience(sleep=lambda _: None)) as client:
        client.submit(path)
    (task,) = desk.server.publisher.tasks
    assert failures == []
    upload = desk.uploads.find("admin", UUID(task.audio.removeprefix("upload:")))
    assert desk.uploads.open(upload).read() == SONG


def test_uvr_submits_files_and_addresses_in_one_command(desk, tmp_path):
    (tmp_path / "song.wav").write_bytes(SONG)
    songs = [str(tmp_path / "song.wav"), str(tmp_path / "none.wav"), "https://example.com/song.mp3"]
    environment = {"UVR_URL": desk.server.url, "UVR_USERNAME": AUTH[0], "UVR_PASSWORD": AUTH[1]}
    done = CliRunner().invoke(app, ["submit", *songs], env=environment)
    assert done.exit_code == 66
    tasks = desk.server.publisher.tasks
    assert done.stdout.split() == [str(task.task_uuid) for task in tasks]
    assert [task.audio.partition(":")[0] for task in tasks] == ["upload", "https"]
    assert "none.wav: No such file or directory" in done.stderr.replace("\n", "")


def test_uvr_repeats_a_batch_of_files_with_its_key_and_gets_the_same_batch(desk, tmp_path):
    songs = tmp_path / "songs"
    songs.mkdir()
    for name in ("a.wav", "b.wav"):
        (songs / name).write_bytes(SONG + name.encode())
    environment = {"UVR_URL": desk.server.url, "UVR_USERNAME": AUTH[0], "UVR_PASSWORD": AUTH[1]}

    def batch():
        return CliRunner().invoke(
            app, ["batch", str(songs), "--idempotency-key", "order-19"], env=environment
        )

    first, again = batch(), batch()
    assert (first.exit_code, again.exit_code) == (0, 0), again.stderr
    assert again.stdout == first.stdout
    (songs / "b.wav").write_bytes(SONG)
    other = batch()
    assert (other.exit_code, "another body" in other.stderr.replace("\n", " ")) == (6, True)


@pytest.mark.parametrize("key", [None, "order-20"])  # the api refuses the second for its other body
def test_what_the_api_refuses_leaves_nothing_in_the_bucket(desk, tmp_path, monkeypatch, key):
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
    path = tmp_path / "song.wav"
    path.write_bytes(SONG)
    song = "https://example.com/song.mp3"
    with UvrClient(desk.server.url, *AUTH) as client:
        if key:
            client.submit(song, idempotency_key=key)
            client.submit_batch([{"audio": song}], idempotency_key=key)
        label = "right" if key else "\n"
        refused = Conflict if key else BadRequest
        with pytest.raises(refused):
            client.submit(path, idempotency_key=key, label=label)
        with pytest.raises(refused):
            client.submit_batch([{"audio": path}, {"audio": path, "label": label}], idempotency_key=key)
    assert desk.keys == []


@pytest.mark.parametrize("direct", [(True, True), (True, False), (False, True)])
def test_a_file_is_the_same_song_by_whichever_way_it_is_uploaded_again(desk, tmp_path, monkeypatch, direct):
    path = tmp_path / "song.wav"
    path.write_bytes(SONG)
    with UvrClient(desk.server.url, *AUTH) as client:
        tasks = []
        for is_direct in direct:
            monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1 if is_direct else MIB)
            tasks.append(client.submit(path, idempotency_key="order-19", stems=["vocals"]).task_uuid)
        assert tasks[0] == tasks[1]
        assert len(desk.server.publisher.tasks) == 1
        with pytest.raises(Conflict):
            client.submit(path, idempotency_key="order-19", stems=["drums"])
        path.write_bytes(SONG + b"x")
        with pytest.raises(Conflict):
            client.submit(path, idempotency_key="order-19", stems=["vocals"])
