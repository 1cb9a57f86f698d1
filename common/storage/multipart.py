"""Uploads large files in parts, and aborts unfinished uploads: they cost money, and no listing shows them."""

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from common.failpoint import Failpoint
from common.storage.etags import strong
from common.storage.storage_errors import code_of
from common.storage.verified import VerifiedFile
from common.waiting import StopCheck, go_on

log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 10_000


class MultipartUploads:
    """The multipart uploads of one bucket. The client's errors pass unless a method says otherwise."""

    def __init__(self, client: Any, bucket: str):
        """`client` is boto3's S3 client, which has no types."""
        self._client, self._bucket = client, bucket

    def put(
        self,
        file: VerifiedFile,
        key: str,
        headers: Mapping[str, Any],
        check: StopCheck,
        sent: Callable[[int], None],
    ) -> str:
        """Uploads `file`, in parts of 16 MiB or more, and returns the object's ETag.

        The object gets `headers`, by the names of boto3. Calls `check` between parts, and `sent` with the
        size in bytes of each stored part. Raises PermanentError (stage_mismatch) if the bytes are not the
        announced ones, and what `check` raises. No part stays in the store then.
        """
        self._abort_leftovers(key)
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**target, **headers)
        target["UploadId"] = upload["UploadId"]
        part_bytes = max(PART_BYTES, -(-file.size_bytes // _MAX_PARTS))
        parts: list[dict[str, Any]] = []
        try:
            while body := file.read(part_bytes):
                check()
                number = len(parts) + 1
                answer = self._client.upload_part(
                    **target, PartNumber=number, Body=body, ContentMD5=md5(body)
                )
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
                sent(len(body))
                Failpoint.BETWEEN_PARTS.reach()
            check()
            file.verify()
            done = self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(target)
            raise
        return strong(done["ETag"])

    def copy(
        self,
        source: str,
        key: str,
        size_bytes: int,
        part_bytes: int,
        headers: Mapping[str, Any],
        check: StopCheck = go_on,
        sent: Callable[[int], None] = lambda size_bytes: None,
        etag: str | None = None,
    ) -> None:
        """Copies the object `source` of `size_bytes` to `key` within the store, in parts of `part_bytes`.

        The object gets `headers`, by the names of boto3. Calls `check` before each part, and `sent` with the
        size in bytes of each copied part. Raises what `check` raises. No part stays in the store after an
        error.
        """
        self._abort_leftovers(key)
        target = {"Bucket": self._bucket, "Key": key}
        target["UploadId"] = self._client.create_multipart_upload(**target, **headers)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            for begin in range(0, size_bytes, part_bytes):
                check()
                last, number = min(begin + part_bytes, size_bytes) - 1, len(parts) + 1
                answer = self._client.upload_part_copy(
                    **target,
                    PartNumber=number,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    CopySourceRange=f"bytes={begin}-{last}",
                    **if_match(etag),
                )
                parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
                sent(last + 1 - begin)
                Failpoint.BETWEEN_PARTS.reach()
            self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(target)
            raise

    def abort_older(self, prefix: str, is_ours: Callable[[str], bool], begun_before_s: float) -> int:
        """Aborts the uploads at keys with `prefix` that `is_ours` and that began before `begun_before_s`.

        `begun_before_s` is in seconds since the epoch. Returns the number of aborted uploads. An upload that
        cannot be listed or aborted stays.
        """
        aborted = 0
        try:
            for upload in self._unfinished(prefix):
                if is_ours(upload["Key"]) and upload["Initiated"].timestamp() < begun_before_s:
                    self._abort(self._target(upload))
                    aborted += 1
        except (BotoCoreError, ClientError) as error:
            log.info("cannot list unfinished uploads: %s", error)
        return aborted

    def abort_all(self, prefix: str, is_ours: Callable[[str], bool]) -> None:
        """Aborts the uploads at keys with `prefix` that `is_ours`, whenever they began."""
        for upload in list(self._unfinished(prefix)):
            if is_ours(upload["Key"]):
                self._client.abort_multipart_upload(**self._target(upload))

    def abort(self, key: str, upload_id: str) -> None:
        """Aborts one unfinished upload, and removes its parts. A finished one is no error."""
        self._abort({"Bucket": self._bucket, "Key": key, "UploadId": upload_id})

    def _unfinished(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            yield from page.get("Uploads", [])

    def _abort_leftovers(self, key: str) -> None:
        """Aborts the uploads at the same key that killed tries have left."""
        try:
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        except ClientError as error:
            log.info("cannot list unfinished uploads (%s): a killed upload's parts may stay", code_of(error))
            return
        for upload in answer.get("Uploads", []):
            if upload["Key"] == key:
                self._abort(self._target(upload))

    def _target(self, upload: dict[str, Any]) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}

    def _abort(self, target: dict[str, str]) -> None:
        try:
            self._client.abort_multipart_upload(**target)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and code_of(error) == "NoSuchUpload":
                return
            log.warning("an unfinished upload stays at %s: %s", target["Key"], error)


def if_match(etag: str | None) -> dict[str, str]:
    """Returns the field by which a store copies no source with another ETag."""
    return {} if etag is None else {"CopySourceIfMatch": strong(etag)}


def md5(body: bytes) -> str:
    """Returns the value of the header Content-MD5."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
