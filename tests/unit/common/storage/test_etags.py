"""A store may write the ETag of one object with quotes, without them, or as a weak one: it is the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from common.errors import PermanentError
from common.storage.bucket import Bucket
from common.storage.bucket_stage import BucketStage
from common.storage.etags import strong
from common.storage.multipart import PART_BYTES
from tests.support.memory_s3 import MemoryS3

TASK = uuid4()
SPELLINGS: dict[str, Callable[[str], str]] = {
    "quotes": lambda bare: f'"{bare}"',
    "bare": lambda bare: bare,
    "weak": lambda bare: f'W/"{bare}"',
}


class Spelling(MemoryS3):
    """Writes ETags in one way where an object is put, and in another where it is looked at."""

    def __init__(self, put: str, seen: str):
        super().__init__()
        self._put, self._seen, self._about = SPELLINGS[put], SPELLINGS[seen], {}
        self.matched: list[str] = []

    def put_object(self, Key: str, Metadata: Any = None, **others: Any) -> dict[str, Any]:
        self._about[Key] = Metadata or {}
        answer = super().put_object(Key=Key, **others)
        return {"ETag": self._put(answer["ETag"].strip('"'))}

    def create_multipart_upload(self, Key: str, Metadata: Any = None, **others: Any) -> dict[str, Any]:
        self._about[Key] = Metadata or {}
        return super().create_multipart_upload(Key=Key, **others)

    def list_multipart_uploads(self, **_: Any) -> dict[str, Any]:
        return {}

    def complete_multipart_upload(self, Bucket: str, Key: str, **others: Any) -> dict[str, Any]:
        super().complete_multipart_upload(Bucket=Bucket, Key=Key, **others)
        whole = super().head_object(Bucket=Bucket, Key=Key)
        return {"ETag": self._put(whole["ETag"].strip('"'))}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        answer = super().head_object(Bucket=Bucket, Key=Key)
        return answer | {"ETag": self._seen(answer["ETag"].strip('"')), "Metadata": self._about.get(Key, {})}

    def copy_object(self, Key: str, CopySource: Any, CopySourceIfMatch: str, **_: Any) -> None:
        self.matched.append(CopySourceIfMatch)
        self.objects[Key] = self.objects[CopySource["Key"]]


class Target:
    def __init__(self, bucket: Bucket):
        self._bucket = bucket

    def copy(self, source: str, size_bytes: int, etag: str | None = None) -> bool:
        return self._bucket.copy(source, "published", size_bytes, etag=etag)


@pytest.mark.parametrize(
    ("put", "seen", "size_bytes"),
    [(put, seen, 10) for put in SPELLINGS for seen in SPELLINGS] + [("bare", "quotes", PART_BYTES + 1)],
)
def test_a_staged_stem_is_the_same_however_the_store_writes_its_etag(tmp_path, put, seen, size_bytes):
    s3 = Spelling(put, seen)
    bucket = Bucket(s3, "stems")
    stage = BucketStage(bucket, bucket, "")
    stem = tmp_path / "vocals.wav"
    stem.write_bytes(b"x" * size_bytes)
    staged = stage.put(TASK, "tasks-0-1", 1, stem)
    stage.publish(staged, Target(bucket))
    assert s3.objects["published"][0] == b"x" * size_bytes
    assert s3.matched == [strong(staged.etag or "")]
    bucket.put(f"stage/{staged.key}", b"y" * size_bytes, {"Metadata": {"sha256": staged.sha256}})
    with pytest.raises(PermanentError, match="checksum differs"):
        stage.publish(staged, Target(bucket))


@pytest.mark.parametrize("put", SPELLINGS)
def test_a_stem_that_an_earlier_version_has_announced_is_the_same(tmp_path, put):
    bucket = Bucket(Spelling("quotes", "quotes"), "stems")
    stage = BucketStage(bucket, bucket, "")
    stem = tmp_path / "vocals.wav"
    stem.write_bytes(b"x")
    staged = stage.put(TASK, "tasks-0-1", 1, stem)
    staged = replace(staged, etag=SPELLINGS[put]((staged.etag or "").strip('"')))
    stage.publish(staged, Target(bucket))


def test_without_an_announced_etag_nothing_is_published(tmp_path):
    bucket = Bucket(Spelling("quotes", "quotes"), "stems")
    stage = BucketStage(bucket, bucket, "")
    stem = tmp_path / "vocals.wav"
    stem.write_bytes(b"x")
    staged = stage.put(TASK, "tasks-0-1", 1, stem)
    staged = replace(staged, etag=None)
    with pytest.raises(PermanentError):
        stage.publish(staged, Target(bucket))
