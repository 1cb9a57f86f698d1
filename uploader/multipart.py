"""Large files in parts, and the unfinished uploads that a killed process leaves: paid for, never listed."""

import base64
import hashlib
import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from common.failpoint import Failpoint
from common.waiting import StopCheck
from uploader.storage_errors import code_of
from uploader.verified import VerifiedFile

log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 10_000


class MultipartUploads:
    """Of one bucket. `client` is boto3's; its errors pass unless said otherwise."""

    def __init__(self, client: Any, bucket: str):
        self._client, self._bucket = client, bucket

    def put(
        self,
        file: VerifiedFile,
        key: str,
        content_type: str,
        check: StopCheck,
        sent: Callable[[int], None],
    ) -> None:
        """Uploads `file`; `check` may stop it between parts, which then leaves nothing.

        `sent` gets the bytes of each part that is there. Raises PermanentError (stage_mismatch) for
        other bytes than were announced: nothing of them is left either.
        """
        self._abort_leftovers(key)
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**target, ContentType=content_type)
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
            self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(target)
            raise

    def abort_older(self, prefix: str, is_ours: Callable[[str], bool], begun_before_s: float) -> int:
        """Aborts what was begun before, at keys with `prefix` that `is_ours`; how many.

        `begun_before_s` is since the epoch. What cannot be listed or aborted stays.
        """
        aborted = 0
        pages = self._client.get_paginator("list_multipart_uploads")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for upload in page.get("Uploads", []):
                    if is_ours(upload["Key"]) and upload["Initiated"].timestamp() < begun_before_s:
                        self._abort(self._target(upload))
                        aborted += 1
        except (BotoCoreError, ClientError) as error:
            log.info("cannot list unfinished uploads: %s", error)
        return aborted

    def _abort_leftovers(self, key: str) -> None:
        """Removes what a killed try at the same key has left."""
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
            log.warning("an unfinished upload stays at %s: %s", target["Key"], error)


def md5(body: bytes) -> str:
    """As the header Content-MD5 has it."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
