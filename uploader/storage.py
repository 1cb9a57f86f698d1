"""Stores results in the bucket: in S3, or in any store that speaks its protocol."""

import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote
from uuid import UUID

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from common.errors import ErrorCode, TransientError
from common.settings.schema import UploaderSettings
from common.storage.bucket import Bucket
from common.storage.bucket_keys import RunKeys
from common.storage.content_types import content_type
from common.storage.links import LinkMaker, ResultLink
from common.storage.multipart import PART_BYTES
from common.storage.s3_client import make_client
from common.storage.storage_errors import (
    AccessRefused,
    StoreUnreachable,
    bucket_error,
    job_errors,
)
from common.storage.verified import VerifiedFile
from common.tasks.messages import Separated, SeparationFailed
from common.waiting import StopCheck, go_on
from uploader.places import callback_limits

log = logging.getLogger(__name__)

_MANIFEST_TRIES = 5
# The metadata of a manifest, which its body does not have: nobody else than the api tells users of a task.
USER, SUBMITTED_AT, CACHE_DIGEST = "uvr-user", "uvr-submitted-at", "uvr-cache-digest"


class Storage:
    """The bucket of the settings. Thread-safe."""

    def __init__(self, settings: UploaderSettings, wall_clock: Callable[[], float] = time.time):
        """`wall_clock` gives seconds since the epoch. Raises ValueError for settings that cannot be used."""
        self._settings = settings
        endpoint = settings.s3_endpoint_url
        session = boto3.session.Session()
        client = make_client(
            session,
            settings,
            endpoint,
            connect_timeout=15,
            read_timeout=180,  # a store may take a minute to complete a large upload
            tries=3,
            connections=settings.slots + (callback_limits(settings).total or 0) + 2,
        )
        self.bucket = Bucket(client, settings.s3_bucket_name)
        probe = make_client(session, settings, endpoint, connect_timeout=5, read_timeout=10, tries=1)
        # The same bucket by a client with short time-outs.
        self.quick = Bucket(probe, settings.s3_bucket_name)
        self._links = LinkMaker(settings, session, wall_clock)

    def check_bucket(self) -> None:
        """Asks the store for the bucket, for at most 15 s. Raises StorageError, which says what is wrong."""
        where = self._settings.s3_endpoint_url or f"S3 in {self._settings.aws_region}"
        try:
            self.quick.client.head_bucket(Bucket=self.bucket.name)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AccessRefused(f"no complete S3 credentials (AWS_ACCESS_KEY_ID): {error}") from None
        except ClientError as error:
            raise bucket_error(error, self.bucket.name, where) from None
        except BotoCoreError as error:
            raise StoreUnreachable(f"the store at {where} does not answer: {error}") from None

    def put_file(
        self,
        file: VerifiedFile,
        key: str,
        check: StopCheck,
        sent: Callable[[int], None] = lambda size_bytes: None,
        disposition: str | None = None,
    ) -> None:
        """Uploads `file` to `key`, and replaces an object that exists there.

        `disposition` is the Content-Disposition with which the store gives the object away. Calls `check`
        before each part of 16 MiB, and `sent` with the size in bytes of each stored part.
        Raises JobError (storage_error), PermanentError (stage_mismatch) if the bytes are not the announced
        ones, and what `check` raises. No part of the upload stays in the store then.
        """
        with job_errors("upload"):
            if file.size_bytes > PART_BYTES:
                self.bucket.multipart.put(file, key, _headers(key, disposition), check, sent)
                return
            check()
            body = file.read(PART_BYTES + 1)
            file.verify()
            self.bucket.put(key, body, _headers(key, disposition))
            sent(len(body))

    def copy(
        self,
        source: str,
        target: str,
        size_bytes: int,
        disposition: str | None = None,
        check: StopCheck = go_on,
        sent: Callable[[int], None] = lambda size_bytes: None,
        etag: str | None = None,
    ) -> bool:
        """Copies an object of the bucket, and replaces one at `target`. Returns False if `source` is missing.

        If `etag` is given, also where the source has another one.
        `disposition` is the copy's Content-Disposition. Calls `check` before each part of 256 MiB, and `sent`
        with the size in bytes of each copied part. Raises JobError (storage_error), and what `check` raises.
        """
        with job_errors("copy"):
            return self.bucket.copy(
                source, target, size_bytes, _headers(target, disposition), check, sent, etag
            )

    def put_manifest(self, key: str, body: bytes, about: Mapping[str, str] | None = None) -> bytes:
        """Creates `key` with `body`, unless it exists: the first writer wins. `about` is its metadata.

        Returns the body that the store then holds. Raises JobError (storage_error).
        """
        with job_errors("manifest"):
            for _ in range(_MANIFEST_TRIES):
                if self.bucket.create(key, body, {**_headers(key), "Metadata": dict(about or {})}):
                    return body
                existing = self.get_manifest(key)
                if existing is not None:
                    return existing
        raise TransientError(
            ErrorCode.STORAGE_ERROR,
            "The result could not be stored: another uploader was writing its manifest",
        )

    def get_manifest(self, key: str) -> bytes | None:
        """Returns the manifest at `key`, None if there is none. Raises JobError (storage_error)."""
        with job_errors("manifest"):
            return self.bucket.get(key)

    def remove_unnamed(self, keys: RunKeys) -> None:
        """Removes every object of a failed run but its manifest. An object that cannot be removed stays."""
        try:
            for found in self.bucket.objects(keys.directory):
                if found.key != keys.manifest:
                    self.bucket.remove([found.key])
                    log.info("removed %s: its run has failed", found.key)
        except (BotoCoreError, ClientError) as error:
            log.warning("objects of a failed run may stay at %s: %s", keys.directory, error)

    def url(self, key: str) -> ResultLink:
        """Returns the link to `key`, as LinkMaker.url does. Raises JobError (storage_error)."""
        with job_errors("link"):
            return self._links.url(key)

    def prefix(self, url: str, task_uuid: UUID) -> str | None:
        """Returns the S3_PREFIX of the task's stem behind `url`, as LinkMaker.prefix does."""
        return self._links.prefix(url, task_uuid)

    def leads_here(self, url: str) -> bool:
        """Tells whether the settings name the host of `url`, as LinkMaker.leads_here does."""
        return self._links.leads_here(url)


def about(result: Separated | SeparationFailed) -> dict[str, str]:
    """Returns the metadata of a result's manifest: its user, its submission, its entry in the cache."""
    digest = result.cache_digest if isinstance(result, Separated) else None
    known = {USER: quote(result.user), SUBMITTED_AT: repr(result.submitted_at)}
    return known | ({CACHE_DIGEST: digest} if digest else {})


def _headers(key: str, disposition: str | None = None) -> dict[str, str]:
    """Returns the headers, by the names of boto3, with which the store is to give the object away."""
    given = {} if disposition is None else {"ContentDisposition": disposition}
    return {"ContentType": content_type(key), **given}
