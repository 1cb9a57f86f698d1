"""The bucket: the objects of one bucket in S3, or in any store that speaks its protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from common.storage.etags import strong
from common.storage.multipart import MultipartUploads, if_match, md5
from common.storage.storage_errors import code_of, status_of
from common.waiting import StopCheck, go_on

# Stores copy up to 5 GiB in one request. Smaller parts show progress and let a job stop in between.
_MAX_COPY_BYTES = 512 * 1024**2
_COPIED_PART_BYTES = 256 * 1024**2
_MISSING = ("NoSuchKey", "NotFound", "404")
# If-None-Match: 412, the key exists; 409, another writer is creating it this very moment.
_TAKEN = (409, 412)
# x-amz-copy-source-if-match: the source has another ETag.
_OTHER_ETAG = 412


@dataclass(frozen=True)
class ObjectSeen:
    """An object as a listing or a HEAD tells of it. `modified_s` is in seconds since the epoch.

    `metadata` is what its writer noted beside it; a listing leaves it out.
    """

    key: str
    size_bytes: int
    etag: str
    modified_s: float
    metadata: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """The objects of one bucket. Thread-safe. The client's errors (BotoCoreError, ClientError) pass.

    `storage_errors.job_errors` turns them into the errors of jobs.
    """

    def __init__(self, client: Any, name: str):
        """`client` is boto3's S3 client, which has no types."""
        self.client, self.name = client, name
        self.multipart = MultipartUploads(client, name)

    def put(self, key: str, body: bytes, headers: Mapping[str, Any] | None = None) -> str:
        """Stores `body` at `key`, and replaces an object there. `headers` have the names of boto3.

        Returns the object's ETag.
        """
        answer = self.client.put_object(
            Bucket=self.name, Key=key, Body=body, ContentMD5=md5(body), **headers or {}
        )
        return strong(answer["ETag"])

    def create(self, key: str, body: bytes, headers: Mapping[str, Any] | None = None) -> bool:
        """Stores `body` at `key` unless an object is there or being created: then returns False."""
        try:
            self.put(key, body, {**(headers or {}), "IfNoneMatch": "*"})
        except ClientError as error:
            if status_of(error) not in _TAKEN:
                raise
            return False
        return True

    def get(self, key: str) -> bytes | None:
        """Returns the whole body of a small object, None if there is none."""
        try:
            answer = self.client.get_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise
        with closing(answer["Body"]) as body:
            found: bytes = body.read()
        return found

    def stream(self, key: str) -> Any:
        """Returns the body of an object, to be read in pieces and closed; None if there is none."""
        try:
            return self.client.get_object(Bucket=self.name, Key=key)["Body"]
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise

    def seen(self, key: str) -> ObjectSeen | None:
        """Returns what a HEAD of the object tells, None if there is none."""
        try:
            answer = self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise
        modified_s = answer["LastModified"].timestamp()
        metadata = answer.get("Metadata", {})
        return ObjectSeen(key, answer["ContentLength"], strong(answer["ETag"]), modified_s, metadata)

    def metadata(self, key: str) -> Mapping[str, str]:
        """Returns the metadata of an object, by names in small letters; {} if there is no object."""
        try:
            answer = self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if code_of(error) in _MISSING:
                return {}
            raise
        return {name.lower(): value for name, value in answer["Metadata"].items()}

    def copy(
        self,
        source: str,
        target: str,
        size_bytes: int,
        headers: Mapping[str, Any] | None = None,
        check: StopCheck = go_on,
        sent: Callable[[int], None] = lambda size_bytes: None,
        etag: str | None = None,
    ) -> bool:
        """Copies within the store, and replaces an object at `target`. Returns False if `source` is missing.

        If `etag` is given, it also returns False if the source has another one. `size_bytes` is the source's.
        The copy gets `headers`, by the names of boto3, not the source's. Calls `check` before each part of
        256 MiB, and `sent` with the size in bytes of each copied part. Raises what `check` raises.
        """
        try:
            if size_bytes > _MAX_COPY_BYTES:
                parts = self.multipart
                parts.copy(source, target, size_bytes, _COPIED_PART_BYTES, headers or {}, check, sent, etag)
                return True
            check()
            self.client.copy_object(
                Bucket=self.name,
                Key=target,
                CopySource={"Bucket": self.name, "Key": source},
                MetadataDirective="REPLACE",
                **if_match(etag),
                **headers or {},
            )
        except ClientError as error:
            if code_of(error) in _MISSING or (etag and status_of(error) == _OTHER_ETAG):
                return False
            raise
        sent(size_bytes)
        return True

    def objects(self, prefix: str) -> Iterator[ObjectSeen]:
        """Yields the objects whose keys begin with `prefix`, in the order of their keys."""
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix):
            for found in page.get("Contents", []):
                modified_s = found["LastModified"].timestamp()
                yield ObjectSeen(found["Key"], found["Size"], strong(found["ETag"]), modified_s)

    def remove(self, keys: Iterable[str]) -> None:
        """Removes the objects. Keys without an object are no error."""
        for key in keys:
            self.client.delete_object(Bucket=self.name, Key=key)
