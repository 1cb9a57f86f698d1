"""A stage in a directory and a stage in the bucket keep the same promises."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import Cancelled, ErrorCode, PermanentError
from common.observability.health import Check
from common.settings.schema import ProcessorSettings
from common.storage.beneath import ForeignEntry
from common.storage.bucket_stage import BucketStage, open_bucket_stage
from common.storage.multipart import PART_BYTES
from common.storage.stage import MARKER, LocalStage
from common.storage.stage_interface import Stage, StagedFile
from common.storage.verified import VerifiedFile
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network
TASK, OTHER_TASK = uuid4(), uuid4()
PLACE = "tasks-3-7"
DAY_S = 24 * 3600.0


class Read:
    """A target that keeps the bytes of the stem."""

    def __init__(self, in_bucket):
        self._in_bucket, self.body = in_bucket, None

    def upload(self, file: VerifiedFile) -> None:
        self.body = file.read(file.size_bytes + 1)
        file.verify()

    def copy(self, source: str, size_bytes: int, etag: str | None = None) -> bool:
        self.body = self._in_bucket(source)
        return self.body is not None


class InDirectory:
    """A stage of STAGE=path, as tests see it from outside."""

    def __init__(self, root: Path):
        self._root = root
        self.stage = self.another()
        self.stage.open()

    def another(self) -> LocalStage:
        """Returns the same stage, as another process has it."""
        return LocalStage(self._root)

    def files(self) -> list[str]:
        """Returns all that is left, without the marker."""
        found = [str(path.relative_to(self._root)) for path in self._root.rglob("*") if path.is_file()]
        return sorted(name for name in found if name != MARKER)

    def write(self, name: str, body: bytes) -> None:
        (self._root / name).parent.mkdir(parents=True, exist_ok=True)
        (self._root / name).write_bytes(body)

    def target(self) -> Read:
        return Read(None)

    def changed_s(self, staged: StagedFile) -> float:
        """Returns when the attempt was last written to or kept."""
        attempt = (self._root / staged.key).parent
        return max(path.stat().st_mtime for path in (attempt, *attempt.iterdir()))


class InBucket:
    """The same of STAGE=s3."""

    def __init__(self, store: S3Store):
        self._store, self._prefix = store, f"{uuid4()}/"
        self.stage = self.another()

    def another(self) -> BucketStage:
        values = {name.lower(): value for name, value in self._store.environment().items()}
        return open_bucket_stage(ProcessorSettings(stage="s3", s3_prefix=self._prefix, **values), 3)

    def files(self) -> list[str]:
        root = f"{self._prefix}stage/"
        found = [key.removeprefix(root) for key in self._store.object_keys(root)]
        uploads = self._store.client().list_multipart_uploads(Bucket=self._store.bucket, Prefix=root)
        return [name for name in found if name != MARKER] + [u["Key"] for u in uploads.get("Uploads", [])]

    def write(self, name: str, body: bytes) -> None:
        key = f"{self._prefix}stage/{name}"
        self._store.client().put_object(Bucket=self._store.bucket, Key=key, Body=body)

    def target(self) -> Read:
        def get(key: str) -> bytes:
            return self._store.client().get_object(Bucket=self._store.bucket, Key=key)["Body"].read()

        return Read(get)

    def changed_s(self, staged: StagedFile) -> float:
        root = f"{self._prefix}stage/{staged.key.rpartition('/')[0]}/"
        found = self._store.client().list_objects_v2(Bucket=self._store.bucket, Prefix=root)
        return max(each["LastModified"].timestamp() for each in found["Contents"])


@pytest.fixture(params=["path", "s3"])
def house(request, tmp_path) -> InDirectory | InBucket:
    if request.param == "path":
        return InDirectory(tmp_path / "stage")
    return InBucket(request.getfixturevalue("s3_store"))


@pytest.fixture
def stage(house) -> Stage:
    return house.stage


@pytest.fixture
def make(tmp_path):
    def file(name="vocals.wav", data=b"RIFF"):
        path = tmp_path / "work" / uuid4().hex / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        return path

    return file


def read(house, staged: StagedFile) -> bytes:
    target = house.target()
    house.stage.publish(staged, target)
    return target.body


def code_of_publishing(house, staged: StagedFile) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        house.stage.publish(staged, house.target())
    return caught.value.code


# Files come in whole


@pytest.mark.parametrize("size_bytes", [0, 10, PART_BYTES + 1])
def test_a_file_is_moved_in_whole_and_described_and_another_process_publishes_it(
    house, stage, make, size_bytes
):
    data = os.urandom(size_bytes)
    source = make(data=data)
    staged = stage.put(TASK, PLACE, 1, source)
    digest = hashlib.sha256(data).hexdigest()
    assert replace(staged, etag=None) == StagedFile(f"{TASK}/{PLACE}.1/vocals.wav", digest, size_bytes)
    assert not source.exists()
    house.stage = house.another()
    assert read(house, staged) == data
    assert house.files() == [staged.key]


def test_a_source_that_is_not_there_stages_nothing(house, stage, tmp_path):
    with pytest.raises(FileNotFoundError):
        stage.put(TASK, PLACE, 1, tmp_path / "nothing.wav")
    assert house.files() == []


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_regular_file_is_not_staged(house, stage, make, kind):
    source = make()
    secret = source.rename(source.with_name("secret"))
    if kind == "link":
        source.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(source)
    else:
        source.mkdir()
    with pytest.raises(ForeignEntry):
        stage.put(TASK, PLACE, 1, source)
    assert house.files() == []


@pytest.mark.parametrize("name", ["passwd", "vocals.sh", "Vocals.wav", ".wav", "vocals.wav.part", "kept"])
def test_a_file_that_is_named_as_no_stem_is_not_staged(house, stage, make, name):
    with pytest.raises(ValueError, match="not a key"):
        stage.put(TASK, PLACE, 1, make(name))
    assert house.files() == []


@pytest.mark.parametrize("key", ["", "vocals.wav", "a/b/c", "/etc/a/passwd", "../../../etc/passwd"])
def test_a_key_that_leads_elsewhere_is_refused(house, stage, key):
    for use in (stage.keep, stage.retire, stage.remove_retired):
        with pytest.raises(ValueError, match="not a key"):
            use(key)
    with pytest.raises(ValueError, match="not a key"):
        stage.publish(StagedFile(key, "", 0), house.target())


@pytest.mark.parametrize("size_bytes", [10, 2 * PART_BYTES + 1])
def test_a_job_that_must_stop_stages_nothing(house, stage, make, size_bytes):
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        stage.put(TASK, PLACE, 1, make(data=b"x" * size_bytes), stop)
    assert house.files() == []


# Only the announced bytes are published


def test_a_staged_file_that_is_gone_is_missing(house, stage, make):
    staged = stage.put(TASK, PLACE, 1, make())
    stage.remove_attempt(TASK, PLACE, 1)
    assert code_of_publishing(house, staged) == ErrorCode.STAGE_MISSING


@pytest.mark.parametrize("change", [b"other bytes", b"RIFX", b""])
def test_other_bytes_than_were_announced_are_no_stem(house, stage, make, change):
    staged = stage.put(TASK, PLACE, 1, make())
    house.write(staged.key, change)
    assert code_of_publishing(house, staged) == ErrorCode.STAGE_MISMATCH


def test_a_stem_with_another_checksum_than_was_announced_is_no_stem(house, stage, make):
    staged = stage.put(TASK, PLACE, 1, make())
    other = replace(staged, sha256="0" * 64)
    assert code_of_publishing(house, other) == ErrorCode.STAGE_MISMATCH


# Attempts go


def test_a_retired_attempt_is_out_of_sight_and_goes_and_another_record_s_stays(house, stage, make):
    vocals = stage.put(TASK, PLACE, 1, make("vocals.wav"))
    stage.put(TASK, PLACE, 1, make("instrumental.wav"))
    other = stage.put(TASK, "tasks-3-8", 1, make())
    for _ in range(2):
        stage.retire(vocals.key)
        assert code_of_publishing(house, vocals) == ErrorCode.STAGE_MISSING
    for _ in range(2):
        stage.remove_retired(vocals.key)
    assert house.files() == [other.key]
    stage.retire(other.key)
    stage.remove_retired(other.key)
    assert house.files() == []


def test_an_attempt_staged_anew_after_it_was_retired_goes_too(house, stage, make):
    """A worker frozen in the middle of an upload does not know that the result has been delivered."""
    staged = stage.put(TASK, PLACE, 1, make())
    stage.retire(staged.key)
    stage.put(TASK, PLACE, 1, make())
    stage.retire(staged.key)
    stage.remove_retired(staged.key)
    assert house.files() == []


def test_with_a_retired_attempt_those_before_it_go_and_none_after_it_or_of_another_record(house, stage, make):
    announced = stage.put(TASK, PLACE, 2, make())
    for place, attempt in [(PLACE, 1), (PLACE, 3), ("tasks-3-77", 1), (f"{PLACE}.1-0-4", 1)]:
        stage.put(TASK, place, attempt, make())
    stage.retire(announced.key)
    stage.remove_retired(announced.key)
    left = [f"{PLACE}.1-0-4.1", f"{PLACE}.3", "tasks-3-77.1"]
    assert house.files() == [f"{TASK}/{name}/vocals.wav" for name in left]


def test_only_earlier_attempts_at_the_same_record_are_removed(house, stage, make):
    kept = [(TASK, PLACE, 3), (TASK, PLACE, 10), (TASK, "tasks-3-77", 1), (TASK, f"{PLACE}.1-0-4", 1)]
    kept.append((OTHER_TASK, PLACE, 1))
    keys = [stage.put(*attempt, make()).key for attempt in kept]
    for attempt in (1, 2):
        stage.put(TASK, PLACE, attempt, make())
    stage.remove_earlier_attempts(TASK, PLACE, 3)
    assert house.files() == sorted(keys)


def test_removing_what_was_never_there_is_no_error(stage):
    key = f"{TASK}/{PLACE}.1/vocals.wav"
    stage.remove_attempt(TASK, PLACE, 1)
    stage.remove_earlier_attempts(TASK, PLACE, 3)
    stage.retire(key)
    stage.remove_retired(key)
    assert stage.sweep(0.0, 1.0, 1.0) == 0


def test_an_attempt_whose_name_is_none_removes_nothing(house, stage, make):
    kept = stage.put(TASK, PLACE, 1, make())
    for place in ("..", f"../{TASK}/{PLACE}", f"{PLACE}.1/..", "", "x" * 221):
        stage.remove_attempt(TASK, place, 1)
        stage.remove_earlier_attempts(TASK, place, 99)
    assert house.files() == [kept.key]


# The sweep


def test_a_sweep_takes_attempts_that_nobody_has_touched_for_long(house, stage, make):
    for attempt in (1, 2):
        stage.put(TASK, PLACE, attempt, make())
    newer = stage.put(OTHER_TASK, PLACE, 1, make())
    assert stage.sweep(time.time() + DAY_S - 60, 300, DAY_S) == 0
    stage.remove_attempt(OTHER_TASK, PLACE, 1)
    assert stage.sweep(time.time() + DAY_S + 60, 300, DAY_S) == 2
    assert house.files() == []
    assert newer.key.startswith(str(OTHER_TASK))


def test_a_sweep_takes_nothing_that_is_kept(house, stage, make):
    old, kept = (stage.put(task, PLACE, 1, make()) for task in (TASK, OTHER_TASK))

    def is_kept_longer() -> bool:
        stage.keep(kept.key)
        # The store's times are whole seconds.
        return house.changed_s(kept) - house.changed_s(old) >= 1

    wait_for(is_kept_longer, 20, "a later time")
    assert stage.sweep(house.changed_s(old) + 10.5, 300, 10) == 1
    assert code_of_publishing(house, old) == ErrorCode.STAGE_MISSING
    assert read(house, kept) == b"RIFF"
    stage.retire(kept.key)
    stage.remove_retired(kept.key)
    assert house.files() == []


def test_the_bytes_that_wait_are_counted_and_no_others(house, stage, make):
    assert stage.size_bytes() == 0
    staged = stage.put(TASK, PLACE, 1, make(data=b"12345"))
    stage.put(OTHER_TASK, PLACE, 2, make("instrumental.wav", b"123"))
    house.write("photos/tasks-0-1.1/vocals.wav", b"theirs")
    assert stage.size_bytes() == 8
    stage.retire(staged.key)
    stage.remove_retired(staged.key)
    assert stage.size_bytes() == 3


def test_a_sweep_leaves_alone_what_is_not_named_as_ours(house, stage):
    others = ["photos/tasks-0-1.1/vocals.wav", f"{TASK}/notes/vocals.wav", f"{TASK}/tasks-0-1.x/vocals.wav"]
    for name in others:
        house.write(name, b"theirs")
    assert stage.sweep(time.time() + 99 * DAY_S, 300, DAY_S) == 0
    assert house.files() == sorted(others)


# The marker


def test_a_stage_is_marked_once_and_for_all_who_have_it(house, stage):
    assert (stage.check(), stage.marker()) == (Check(True), None)
    with ThreadPoolExecutor(3) as pool:
        pool.map(lambda _: house.another().marked(), range(3))
    assert house.another().marked() == house.another().marker() == house.another().marked()
    assert house.files() == []


@pytest.mark.parametrize("damage", [b"", b"no id", b"x" * 5000, b"\xff\xfe"])
def test_a_damaged_marker_is_none_and_is_replaced(house, damage):
    house.write(MARKER, damage)
    assert house.another().marker() is None
    assert house.another().marked() == house.another().marker() is not None
