"""Reads objects of the bucket. Importing this module loads boto3."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from api.archive.errors import BucketUnavailable, ObjectBroken
from common.settings.schema import ApiSettings
from common.storage.bucket import Bucket
from common.storage.bucket_keys import uploads_of
from common.storage.s3_client import make_client

_BLOCK_BYTES = 1 << 20
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 5.0, 30.0


@dataclass(frozen=True)
class Held:
    """A number of objects, and their bytes."""

    count: int
    size_bytes: int


class BucketReader:
    """Reads objects, in several threads at once."""

    def __init__(self, settings: ApiSettings, connections: int):
        """Raise BucketUnavailable."""
        if settings.s3_bucket_name is None:
            raise BucketUnavailable("the api has no S3_BUCKET_NAME")
        self._prefix = settings.s3_prefix
        try:
            client = make_client(
                boto3.session.Session(),
                settings,
                settings.s3_endpoint_url,
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                tries=2,
                connections=connections,
            )
        except (BotoCoreError, ValueError) as error:
            raise BucketUnavailable(str(error)) from error
        self._bucket = Bucket(client, settings.s3_bucket_name)

    def sizes(self, keys: list[str]) -> list[int | None]:
        """Return the objects' sizes in bytes, None for those that are missing. Raise BucketUnavailable."""
        try:
            found = [self._bucket.seen(key) for key in keys]
        except (BotoCoreError, ClientError) as error:
            raise BucketUnavailable(str(error)) from error
        return [None if seen is None else seen.size_bytes for seen in found]

    def small(self, key: str) -> bytes | None:
        """Return a small object, None if it is missing. Raise BucketUnavailable."""
        try:
            return self._bucket.get(key)
        except (BotoCoreError, ClientError) as error:
            raise BucketUnavailable(str(error)) from error

    def blocks(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """Yield the object's bytes, `size_bytes` of them. Raise ObjectBroken."""
        left = size_bytes
        try:
            answer = self._bucket.client.get_object(Bucket=self._bucket.name, Key=key)
            with closing(answer["Body"]) as body:
                while block := body.read(_BLOCK_BYTES):
                    left -= len(block)
                    yield block
        except (BotoCoreError, ClientError, OSError) as error:
            raise ObjectBroken(f"{key}: {error}") from error
        if left:
            raise ObjectBroken(f"{key}: {size_bytes - left} bytes came in place of {size_bytes}")

    def uploads(self, user: str) -> Held:
        """Return what the user has uploaded, unfinished uploads left out. Raise BucketUnavailable."""
        count = size_bytes = 0
        try:
            for seen in self._bucket.objects(uploads_of(self._prefix, user)):
                count += seen.key.endswith("/audio")
                size_bytes += seen.size_bytes
        except (BotoCoreError, ClientError) as error:
            raise BucketUnavailable(str(error)) from error
        return Held(count, size_bytes)
