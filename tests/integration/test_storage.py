"""Storage against a real store: what lands there, what stays, and how each refusal is named."""

import socket
import threading
from urllib.parse import quote
from uuid import UUID

import pytest
import requests
from botocore.exceptions import ClientError

from common.errors import Cancelled, ErrorCode, PermanentError, TransientError
from common.settings.schema import UploaderSettings
from common.storage.bucket_keys import RunKeys
from common.storage.storage_errors import AccessRefused, BucketMissing, StoreUnreachable
from tests.support.http_server import ScriptedServer, serve
from tests.support.uploader.staged import announced
from uploader.storage import Storage

pytestmark = pytest.mark.network

TASK = UUID("7a0e0f8e-5d0c-4d3e-9c53-0a4a0d9c0001")
PART_BYTES = 16 * 1024 * 1024


def go_on() -> None:
    """No job is cancelled here."""


def settings_for(store, **changes) -> UploaderSettings:
    values = {name.lower(): value for name, value in store.environment().items()}
    return UploaderSettings(**(values | changes))


@pytest.fixture
def storage(s3_store) -> Storage:
    return Storage(settings_for(s3_store))


@pytest.fixture
def key(request) -> str:
    return f"{request.node.name}/stem.wav"


@pytest.fixture
def large_file(tmp_path):
    path = tmp_path / "vocals.wav"
    path.write_bytes(b"".join(bytes([n]) * 1024 * 1024 for n in range(40)))
    return path


def uploads_in_progress(store) -> list[str]:
    answer = store.client().list_multipart_uploads(Bucket=store.bucket)
    return [upload["Key"] for upload in answer.get("Uploads", [])]


def exists(store, key: str) -> bool:
    try:
        store.client().head_object(Bucket=store.bucket, Key=key)
    except ClientError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vocals.wav", "audio/wav"),
        ("vocals.flac", "audio/flac"),
        ("vocals.mp3", "audio/mpeg"),
        ("vocals.m4a", "audio/mp4"),
    ],
)
def test_the_link_opens_for_anybody_and_gives_the_same_bytes(storage, tmp_path, name, expected):
    path = tmp_path / name
    path.write_bytes(bytes(range(256)) * 1000)
    key = f"prefix/a b+c/{name}"
    storage.put_file(announced(path), key, go_on)
    answer = requests.get(storage.url(key).url, timeout=30)
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert answer.headers["Content-Type"] == expected


def test_the_store_gives_away_the_name_for_people(storage, large_file, tmp_path, key):
    """Of an object in one piece, of one in several, and of a copy."""
    small, named = tmp_path / "small.ogg", f"attachment; filename*=UTF-8''{quote('Ä 🎧 (vocals).ogg')}"
    small.write_bytes(b"la")
    storage.put_file(announced(small), f"{key}.1.ogg", go_on, disposition=named)
    storage.put_file(announced(large_file), f"{key}.2.ogg", go_on, disposition=named)
    assert storage.copy(f"{key}.1.ogg", f"{key}.3.ogg", 2, named)
    for number in (1, 2, 3):
        with requests.get(storage.url(f"{key}.{number}.ogg").url, timeout=30, stream=True) as answer:
            assert (answer.status_code, answer.headers["Content-Disposition"]) == (200, named)
            assert answer.headers["Content-Type"] == "audio/ogg"


def test_a_file_of_several_parts_arrives_whole(storage, s3_store, large_file, key):
    storage.put_file(announced(large_file), key, go_on)
    assert requests.get(storage.url(key).url, timeout=60).content == large_file.read_bytes()
    assert uploads_in_progress(s3_store) == []


@pytest.mark.parametrize("size", [0, PART_BYTES, PART_BYTES + 1])
def test_sizes_around_a_part_arrive_whole(storage, tmp_path, key, size):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"x" * size)
    storage.put_file(announced(path), key, go_on)
    assert len(requests.get(storage.url(key).url, timeout=60).content) == size


def test_a_second_upload_replaces_the_first(storage, tmp_path, key):
    path = tmp_path / "stem.wav"
    for body in (b"first", b"second"):
        path.write_bytes(body)
        storage.put_file(announced(path), key, go_on)
    assert requests.get(storage.url(key).url, timeout=30).content == b"second"


def test_a_cancel_between_parts_leaves_no_object_and_no_unfinished_upload(storage, s3_store, large_file, key):
    calls = []

    def cancel_at_the_third_part() -> None:
        calls.append(uploads_in_progress(s3_store))
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        storage.put_file(announced(large_file), key, cancel_at_the_third_part)
    assert calls[-1] == [key], "the upload was under way"
    assert uploads_in_progress(s3_store) == []
    assert not exists(s3_store, key)


def test_a_failure_between_parts_leaves_no_unfinished_upload(storage, s3_store, large_file, key):
    calls = []

    def lose_the_file_then_the_upload() -> None:
        calls.append(1)
        if len(calls) == 3:
            client = s3_store.client()
            for upload in client.list_multipart_uploads(Bucket=s3_store.bucket)["Uploads"]:
                client.abort_multipart_upload(
                    Bucket=s3_store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    with pytest.raises(TransientError) as caught:
        storage.put_file(announced(large_file), key, lose_the_file_then_the_upload)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    assert uploads_in_progress(s3_store) == []


def test_the_next_try_removes_what_a_killed_one_left(storage, s3_store, large_file, key):
    client = s3_store.client()
    left = client.create_multipart_upload(Bucket=s3_store.bucket, Key=key)
    client.upload_part(
        Bucket=s3_store.bucket, Key=key, UploadId=left["UploadId"], PartNumber=1, Body=b"x" * PART_BYTES
    )
    other = client.create_multipart_upload(Bucket=s3_store.bucket, Key=key + ".other")
    storage.put_file(announced(large_file), key, go_on)
    assert uploads_in_progress(s3_store) == [key + ".other"], "only the same key's"
    client.abort_multipart_upload(Bucket=s3_store.bucket, Key=key + ".other", UploadId=other["UploadId"])


@pytest.mark.parametrize("size", [10, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
@pytest.mark.parametrize("change", ["another byte", "shorter", "longer"])
def test_other_bytes_than_were_announced_are_no_object(storage, s3_store, tmp_path, key, size, change):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"x" * size)
    file = announced(path)
    with path.open("r+b") as changed:  # while it is uploaded, and its size is right at first
        if change == "another byte":
            changed.seek(size - 1)
            changed.write(b"y")
        else:
            changed.truncate(size + (1 if change == "longer" else -1))
    with pytest.raises(PermanentError) as caught:
        storage.put_file(file, key, go_on)
    assert caught.value.code == ErrorCode.STAGE_MISMATCH
    assert not exists(s3_store, key)
    assert uploads_in_progress(s3_store) == []


def test_the_first_manifest_wins_and_is_what_later_writers_get(storage, key):
    assert storage.get_manifest(key) is None
    assert storage.put_manifest(key, b'{"first": 1}') == b'{"first": 1}'
    assert storage.put_manifest(key, b'{"second": 2}') == b'{"first": 1}'
    assert storage.get_manifest(key) == b'{"first": 1}'


def test_of_many_writers_at_once_all_get_one_manifest(storage, key):
    start, results = threading.Barrier(8), []

    def write(number: int) -> None:
        start.wait()
        results.append(storage.put_manifest(key, f'{{"writer": {number}}}'.encode()))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert set(results) == {storage.get_manifest(key)}


def test_a_link_expires_when_it_says(s3_store, tmp_path, key):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"x")
    storage = Storage(settings_for(s3_store, s3_url_expires_s=3600), wall_clock=lambda: 1_800_000_000.7)
    storage.put_file(announced(path), key, go_on)
    link = storage.url(key)
    assert link.expires_at_s == 1_800_003_600
    assert "X-Amz-Expires=3600" in link.url


def test_links_are_signed_for_the_address_that_clients_use(s3_store, tmp_path, key):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"seen from outside")
    inside = f"http://localhost:{s3_store.endpoint_url.rpartition(':')[2]}"
    storage = Storage(
        settings_for(s3_store, s3_endpoint_url=inside, s3_presign_endpoint_url=s3_store.endpoint_url)
    )
    storage.put_file(announced(path), key, go_on)
    link = storage.url(key)
    assert link.url.startswith(f"{s3_store.endpoint_url}/{s3_store.bucket}/")
    assert requests.get(link.url, timeout=30).content == b"seen from outside"


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("cdn.example.org", "https://cdn.example.org/a%20b/vocals.wav"),
        ("https://cdn.example.org/", "https://cdn.example.org/a%20b/vocals.wav"),
        ("http://127.0.0.1:9000/bucket", "http://127.0.0.1:9000/bucket/a%20b/vocals.wav"),
    ],
)
def test_a_public_domain_makes_plain_links_for_ever(s3_store, domain, expected):
    link = Storage(settings_for(s3_store, s3_public_domain=domain)).url("a b/vocals.wav")
    assert (link.url, link.expires_at_s) == (expected, None)


def test_keys_of_a_run_lie_together():
    keys = RunKeys("stems/", TASK, 2)
    assert keys.stem("vocals", "flac") == f"stems/{TASK}/2/vocals.flac"
    assert keys.manifest == f"stems/{TASK}/2/manifest.json"


def test_a_bucket_that_is_there_passes_the_check(storage):
    storage.check_bucket()


def test_a_missing_bucket_is_named(s3_store):
    with pytest.raises(BucketMissing, match=r"'never-made'.*S3_BUCKET_NAME"):
        Storage(settings_for(s3_store, s3_bucket_name="never-made")).check_bucket()


@pytest.mark.parametrize("wrong", [{"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "NOBODY"}])
def test_wrong_keys_are_named(s3_store, wrong):
    with pytest.raises(AccessRefused, match="AWS_ACCESS_KEY_ID"):
        Storage(settings_for(s3_store, **wrong)).check_bucket()


def test_a_store_that_is_not_there_is_named(s3_store):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    storage = Storage(settings_for(s3_store, s3_endpoint_url=f"http://127.0.0.1:{free}"))
    with pytest.raises(StoreUnreachable, match=f"127.0.0.1:{free}"):
        storage.check_bucket()


def test_half_a_pair_of_keys_is_refused_at_start(s3_store):
    with pytest.raises(ValueError, match="AWS_SECRET_ACCESS_KEY"):
        Storage(settings_for(s3_store, aws_secret_access_key=None))


@pytest.mark.parametrize("changes", [{"s3_bucket_name": "never-made"}, {"aws_access_key_id": "NOBODY"}])
def test_what_an_operator_can_mend_is_transient(s3_store, tmp_path, key, changes):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"x")
    storage = Storage(settings_for(s3_store, **changes))
    with pytest.raises(TransientError) as caught:
        storage.put_file(announced(path), key, go_on)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    with pytest.raises(TransientError):
        storage.put_manifest(key, b"{}")


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_store_in_trouble_is_transient(s3_store, tmp_path, key, status):
    path = tmp_path / "stem.wav"
    path.write_bytes(b"x")
    with ScriptedServer() as server:
        server.on(f"/{s3_store.bucket}/{quote(key)}", serve(b"", status, "application/xml"))
        storage = Storage(settings_for(s3_store, s3_endpoint_url=server.origin))
        with pytest.raises(TransientError) as caught:
            storage.put_file(announced(path), key, go_on)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    assert server.connections > 1, "the client tries again by itself"
