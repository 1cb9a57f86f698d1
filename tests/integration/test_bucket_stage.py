"""What only the stage in the bucket does: copies within the store, its parts, and its refusals."""

import dataclasses
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from common.settings.schema import ProcessorSettings
from common.storage.bucket import Bucket
from common.storage.bucket_stage import BucketStage, open_bucket_stage
from common.storage.multipart import PART_BYTES
from common.tasks.messages import StageSeen
from common.tasks.stage_news import StageWatch
from local import store
from tests.support.servers import S3Store, SeaweedServer

pytestmark = pytest.mark.network
TASK = uuid4()


@pytest.fixture
def prefix() -> str:
    return f"{uuid4()}/"


def open_stage(address: S3Store, prefix: str, **changes: str) -> BucketStage:
    values = {name.lower(): value for name, value in address.environment().items()} | changes
    return open_bucket_stage(ProcessorSettings(stage="s3", s3_prefix=prefix, **values), 1)


@pytest.fixture
def stage(s3_store, prefix) -> BucketStage:
    return open_stage(s3_store, prefix)


@pytest.fixture
def stem(tmp_path):
    path = tmp_path / "vocals.flac"
    path.write_bytes(b"fLaC")
    return path


@pytest.mark.parametrize("size_bytes", [10, PART_BYTES + 1])
def test_a_staged_stem_has_its_type_and_its_checksum_beside_it(stage, s3_store, prefix, stem, size_bytes):
    stem.write_bytes(b"x" * size_bytes)
    staged = stage.put(TASK, "tasks-0-5", 1, stem)
    head = s3_store.client().head_object(Bucket=s3_store.bucket, Key=f"{prefix}stage/{staged.key}")
    assert head["ContentType"] == "audio/flac"
    assert head["Metadata"] == {"sha256": staged.sha256}


class Ours:
    """A target that copies as an uploader does. Before that it calls `meanwhile`."""

    def __init__(self, bucket: Bucket, meanwhile: Callable[[], None] = lambda: None):
        self._bucket, self._meanwhile = bucket, meanwhile

    def copy(self, source: str, size_bytes: int, etag: str | None = None) -> bool:
        self._meanwhile()
        return self._bucket.copy(source, f"{source}.published", size_bytes, etag=etag)


@pytest.mark.parametrize("when", ["before", "while it is published"])
def test_bytes_put_in_a_stem_s_place_are_not_published_whatever_is_written_beside_them(
    stage, s3_store, prefix, stem, when
):
    staged, bucket = stage.put(TASK, "tasks-0-5", 1, stem), Bucket(s3_store.client(), s3_store.bucket)
    key, beside = f"{prefix}stage/{staged.key}", {"Metadata": {"sha256": staged.sha256}}

    def forge() -> None:
        bucket.put(key, b"FLAC", beside)

    if when == "before":
        forge()
    with pytest.raises(PermanentError) as caught:
        stage.publish(staged, Ours(bucket, forge))
    assert caught.value.code in (ErrorCode.STAGE_MISMATCH, ErrorCode.STAGE_MISSING)
    assert bucket.seen(f"{key}.published") is None
    bucket.put(key, b"fLaC", beside)
    stage.publish(staged, Ours(bucket))
    assert bucket.get(f"{key}.published") == b"fLaC"


def test_parts_of_earlier_attempts_go_with_them_and_those_of_others_stay(stage, s3_store, prefix):
    client, bucket = s3_store.client(), s3_store.bucket
    earlier, later, other = (
        f"{prefix}stage/{TASK}/{attempt}/vocals.wav" for attempt in ("t-0-5.1", "t-0-5.3", "t-0-55.1")
    )
    for key in (earlier, later, other):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    stage.remove_earlier_attempts(TASK, "t-0-5", 3)
    left = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix)["Uploads"]
    assert {upload["Key"] for upload in left} == {later, other}
    for upload in left:
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


@pytest.mark.parametrize(
    "wrong", [{"s3_bucket_name": "not-there"}, {"aws_secret_access_key": "wrong"}], ids=["bucket", "keys"]
)
def test_a_bucket_that_takes_no_stems_is_not_ready_and_the_job_may_try_again(s3_store, prefix, stem, wrong):
    stage = open_stage(s3_store, prefix, **wrong)
    with pytest.raises(TransientError) as caught:
        stage.put(TASK, "tasks-0-5", 1, stem)
    assert caught.value.code == ErrorCode.STORAGE_ERROR
    assert stem.exists()
    assert not stage.check().ok
    stage.remove_attempt(TASK, "tasks-0-5", 1)


def test_a_processor_beside_uploaders_with_a_directory_is_not_ready_and_says_so(stage):
    seen = {"kind": "stage_seen", "worker_id": "u1", "at": 1.0}
    watch = StageWatch(stage, lambda: 1.0)
    watch.add(StageSeen(stage=str(uuid4()), **seen))
    found = watch.check()
    assert not found.ok
    assert "STAGE=s3" in found.detail
    assert "u1" in found.detail
    watch.add(StageSeen(stage=stage.marked(), mode="s3", **seen))
    assert watch.check().ok


@pytest.fixture
def servers(tmp_path) -> Iterator[tuple[S3Store, S3Store]]:
    """A store as the local start makes it: with the keys of a processor, and with all rights."""
    server = SeaweedServer(tmp_path / "store")
    server.start()
    keys = store.load_processor_keys(server.spec.data_dir)
    own = dataclasses.replace(server.address, access_key=keys.access_key, secret_key=keys.secret_key)
    yield own, server.address
    server.kill()


def test_a_processor_s_keys_are_enough_for_its_stage(servers, stem):
    own, all_rights = servers
    stage = open_stage(own, "")
    assert stage.check().ok
    assert stage.marker() is None
    for size_bytes, attempt in ((10, 1), (PART_BYTES + 1, 2), (10, 3)):
        stem.write_bytes(b"x" * size_bytes)
        stage.put(TASK, "t-0-5", attempt, stem)
    root, admin = f"stage/{TASK}/", all_rights.client()
    admin.create_multipart_upload(Bucket=own.bucket, Key=f"{root}t-0-5.1/instrumental.wav")
    stage.remove_earlier_attempts(TASK, "t-0-5", 3)
    assert all_rights.object_keys() == [f"{root}t-0-5.3/vocals.flac"]
    assert "Uploads" not in admin.list_multipart_uploads(Bucket=own.bucket)
    stage.remove_attempt(TASK, "t-0-5", 3)
    assert all_rights.object_keys() == []
