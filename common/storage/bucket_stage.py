"""The stage of STAGE=s3: stems wait in the bucket, as `{S3_PREFIX}stage/{task}/{place}.{attempt}/{file}`.

An object store renames nothing, so `retire` removes. Nobody can still need the stems then: the run's manifest
exists, and names their copies. Whoever gets the record next takes the manifest. A stale uploader that finds
the stems gone fails, and cannot commit that, since it has lost the record.

Removals that fail while the store is away are made up for as soon as the store answers. What a killed process
still owed goes by its age, in `sweep`.
"""

import errno
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from common.observability.health import Check
from common.settings.schema import StoreSettings
from common.storage import beneath
from common.storage.bucket import Bucket
from common.storage.bucket_keys import stage_prefix
from common.storage.bucket_marker import BucketMarker
from common.storage.content_types import content_type
from common.storage.etags import strong
from common.storage.multipart import PART_BYTES
from common.storage.s3_client import make_client
from common.storage.stage_interface import StagedFile, StageMode, StemTarget
from common.storage.stage_keys import is_any_key, read_attempt, read_key
from common.storage.staged_removals import Removal, StagedRemovals
from common.storage.storage_errors import job_errors, reason_of, staging_errors
from common.storage.verified import VerifiedFile, mismatch, missing
from common.waiting import StopCheck, go_on

log = logging.getLogger(__name__)

# An empty object beside an attempt's stems: they are still needed, whatever their own age.
_KEPT = "kept"
# Younger stems are far from being swept: STAGE_RETENTION_S is days.
_KEPT_FROM_S = 3600.0


class BucketStage:
    """The stage in the bucket. Thread-safe."""

    mode: StageMode = "s3"

    def __init__(
        self, bucket: Bucket, quick: Bucket, prefix: str, wall_clock: Callable[[], float] = time.time
    ):
        """`quick` is the same bucket by a client with short time-outs, for looks and removals.

        `wall_clock` gives seconds since the epoch.
        """
        self._bucket, self._quick, self._root = bucket, quick, stage_prefix(prefix)
        self._wall_clock = wall_clock
        self._removals = StagedRemovals(quick, self._root)
        self._marker = BucketMarker(quick, self._root, self._removals.pay)

    @property
    def where(self) -> str:
        """Names the stage for operators."""
        return f"{self._root} in bucket {self._bucket.name}"

    def check(self) -> Check:
        """As Stage.check. A good answer stands for 10 s, another for 2 s. May block for 15 s."""
        try:
            self._marker.read()
        except OSError as error:
            return Check(False, f"{self.where}: {error.strerror}")
        return Check(True)

    def marker(self) -> str | None:
        """As Stage.marker."""
        return self._marker.read()

    def marked(self) -> str:
        """As Stage.marked."""
        return self._marker.make()

    def put(
        self, task_uuid: UUID, place: str, attempt: int, source: Path, check: StopCheck = go_on
    ) -> StagedFile:
        """As Stage.put. Calls `check` before each part of 16 MiB. No part stays in the store on errors."""
        key = f"{task_uuid}/{place}.{attempt}/{source.name}"
        read_key(key)
        with beneath.directory(source.parent) as parent, beneath.open_file(parent, source.name) as file:
            staged = _described(key, file)
            with staging_errors("staging"):
                etag = self._upload(staged, file, check)
        source.unlink()
        return replace(staged, etag=etag)

    def publish(self, staged: StagedFile, target: StemTarget) -> None:
        """Copies a staged file within the store: as Stage.publish.

        Its size, its ETag and the sha256 that `put` has noted beside it must be the announced ones. Whoever
        can write to the stage can forge the sha256, but not the ETag, which the store makes from the bytes.
        """
        read_key(staged.key)
        with job_errors("look at a staged file"):
            seen = self._bucket.seen(self._root + staged.key)
        if seen is None:
            raise missing(staged.key)
        if seen.size_bytes != staged.size_bytes:
            sizes = f"{staged.size_bytes} bytes were announced, {seen.size_bytes} found"
            raise mismatch(f"A staged file is not the one that was announced: {sizes}")
        # `strong`: an earlier version announced it as the store had written it.
        if seen.metadata.get("sha256") != staged.sha256 or seen.etag != strong(staged.etag or ""):
            raise mismatch("A staged file is not the one that was announced: its checksum differs")
        if self._wall_clock() - seen.modified_s >= _KEPT_FROM_S:
            self.keep(staged.key)
        if not target.copy(seen.key, staged.size_bytes, seen.etag):
            raise missing(staged.key)

    def remove_attempt(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """As Stage.remove_attempt, also the parts of unfinished uploads."""
        self._removals.remove(Removal(str(task_uuid), place, attempt, attempt))

    def remove_earlier_attempts(self, task_uuid: UUID, place: str, attempt: int) -> None:
        """As Stage.remove_earlier_attempts, also the parts of unfinished uploads."""
        if attempt > 1:
            self._removals.remove(Removal(str(task_uuid), place, 0, attempt - 1))

    def keep(self, key: str) -> None:
        """As Stage.keep, by an empty object beside the stems."""
        at = read_key(key)
        try:
            self._quick.put(f"{self._root}{at.task}/{at.attempt}/{_KEPT}", b"")
        except (BotoCoreError, ClientError) as error:
            log.warning("the age of %s/%s counts on: %s", at.task, at.attempt, error)

    def retire(self, key: str) -> None:
        """As Stage.retire: removes the attempt."""
        at = read_key(key)
        found = read_attempt(at.attempt)
        self.remove_attempt(UUID(at.task), found["place"], int(found["number"]))

    def remove_retired(self, key: str) -> None:
        """As Stage.remove_retired: only earlier attempts are left."""
        at = read_key(key)
        found = read_attempt(at.attempt)
        self.remove_earlier_attempts(UUID(at.task), found["place"], int(found["number"]))

    def size_bytes(self) -> int:
        """As Stage.size_bytes, without unfinished uploads."""
        try:
            objects = self._quick.objects(self._root)
            return sum(found.size_bytes for found in objects if self._attempt_of(found.key))
        except (BotoCoreError, ClientError) as error:
            raise OSError(errno.EIO, reason_of(error)) from error

    def sweep(self, now_s: float, retired_for_s: float, kept_for_s: float) -> int:
        """As Stage.sweep. Nothing stays retired here. Objects with other names than the stage's stay."""
        removed = 0
        try:
            objects = self._quick.objects(self._root)
            for attempt, of_attempt in groupby(objects, lambda found: self._attempt_of(found.key)):
                found = list(of_attempt)
                if attempt and now_s - max(each.modified_s for each in found) >= kept_for_s:
                    self._quick.remove(each.key for each in found)
                    removed += 1
        except (BotoCoreError, ClientError) as error:
            log.warning("%s cannot be swept: %s", self.where, error)
        return removed

    def _upload(self, staged: StagedFile, file: BinaryIO, check: StopCheck) -> str:
        """Returns the object's ETag."""
        key = self._root + staged.key
        verified = VerifiedFile(file, staged.size_bytes, staged.sha256)
        headers = {"ContentType": content_type(key), "Metadata": {"sha256": staged.sha256}}
        check()
        if staged.size_bytes > PART_BYTES:
            return self._bucket.multipart.put(verified, key, headers, check, lambda size_bytes: None)
        body = verified.read(PART_BYTES + 1)
        verified.verify()
        return self._bucket.put(key, body, headers)

    def _attempt_of(self, key: str) -> str:
        """Returns the part of a key that names task and attempt, "" if the key is not the stage's."""
        attempt, _, name = key.removeprefix(self._root).rpartition("/")
        stem = f"{attempt}/vocals.wav" if name == _KEPT else f"{attempt}/{name}"
        return attempt if is_any_key(stem) else ""


def open_bucket_stage(settings: StoreSettings, connections: int) -> BucketStage:
    """Makes the stage of the settings, for `connections` threads at once. Asks the store nothing yet."""
    session, endpoint = boto3.session.Session(), settings.s3_endpoint_url
    # A store may take a minute to complete a large upload.
    slow = make_client(
        session, settings, endpoint, connect_timeout=15, read_timeout=180, tries=3, connections=connections
    )
    quick = make_client(session, settings, endpoint, connect_timeout=5, read_timeout=10, tries=1)
    name = settings.s3_bucket_name or ""
    return BucketStage(Bucket(slow, name), Bucket(quick, name), settings.s3_prefix)


def _described(key: str, file: BinaryIO) -> StagedFile:
    """Reads an opened file to its end, and rewinds it."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    size_bytes = file.tell()
    file.seek(0)
    return StagedFile(key, digest, size_bytes)
