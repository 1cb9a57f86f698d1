"""Reads an uploaded song from the bucket into the attempt's work directory."""

import logging
import re
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import boto3
from urllib3.exceptions import HTTPError

from common.errors import ErrorCode, PermanentError, TransientError, is_disk_full
from common.failpoint import Failpoint
from common.settings.schema import ProcessorSettings
from common.storage.bucket import Bucket
from common.storage.s3_client import make_client
from common.storage.storage_errors import job_errors
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.messages import Task
from common.waiting import StopCheck
from processor.audio.download import DownloadedFile

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_FAILED = "The uploaded song could not be read"
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


class UploadReader:
    """Reads uploads with the processor's own keys. Thread-safe."""

    def __init__(self, uploads: Uploads):
        self._uploads = uploads

    def read(
        self,
        task: Task,
        upload_id: UUID,
        directory: Path,
        check: StopCheck,
        on_progress: Callable[[float], None] = lambda fraction: None,
    ) -> DownloadedFile:
        """Writes the song to `directory/input.<extension>`, and checks its size and sha256.

        Calls `check` for each MiB, which may raise to stop, and `on_progress` with 0 to 1.

        Raises PermanentError (upload_missing, upload_mismatch, storage_error), TransientError (storage_error,
        network_error, disk_full), and what `check` raises. After any error no file is left.
        """
        began_s = time.monotonic()
        with job_errors("read an upload", _FAILED):
            upload = self._uploads.find(task.user, upload_id)
            body = self._uploads.open(upload) if upload else None
        if upload is None or body is None:
            raise PermanentError(
                ErrorCode.UPLOAD_MISSING, "The uploaded song is gone: it was deleted, or has expired"
            )
        path = directory / f"input{_extension(upload.file_name)}"
        log.info("Reading upload %s: %.2f MB", upload_id, upload.bytes / _MB)
        try:
            with closing(body):
                self._save(body, upload, path, check, on_progress)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, HTTPError):  # urllib3's: the connection broke within the body
                raise TransientError(ErrorCode.NETWORK_ERROR, f"{_FAILED}: {type(error).__name__}") from error
            if is_disk_full(error):
                raise TransientError(ErrorCode.DISK_FULL, "The disk became full") from error
            raise
        elapsed_s = max(time.monotonic() - began_s, 1e-3)
        log.info("Upload read in %.1fs (avg %.2f MB/s)", elapsed_s, upload.bytes / _MB / elapsed_s)
        return DownloadedFile(path, upload.bytes, "", elapsed_s)

    def _save(
        self,
        body: Any,
        upload: Upload,
        path: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> None:
        received_bytes, digest = 0, sha256()
        with path.open("wb", buffering=_MB) as file, job_errors("read an upload", _FAILED):
            while piece := body.read(_MB):
                received_bytes += len(piece)
                if received_bytes > upload.bytes:
                    break
                digest.update(piece)
                file.write(piece)
                check()
                on_progress(received_bytes / upload.bytes)
                Failpoint.DOWNLOADING.reach()
        if received_bytes != upload.bytes:
            raise _mismatch(f"{upload.bytes} bytes were announced, and it has others")
        if upload.sha256 and digest.hexdigest() != upload.sha256:
            raise _mismatch("its sha256 differs")


def make_reader(settings: ProcessorSettings) -> UploadReader:
    """Returns a reader of the settings' bucket.

    Raises PermanentError (storage_error) if the settings name no bucket, or there are no keys to it.
    """
    if settings.s3_bucket_name is None:
        raise PermanentError(ErrorCode.STORAGE_ERROR, f"{_FAILED}: the processor has no S3_BUCKET_NAME")
    session = boto3.session.Session()
    if settings.aws_access_key_id is None and session.get_credentials() is None:
        raise PermanentError(
            ErrorCode.STORAGE_ERROR,
            f"{_FAILED}: the processor has no keys to the bucket (PROCESSOR_AWS_ACCESS_KEY_ID)",
        )
    client = make_client(
        session,
        settings,
        settings.s3_endpoint_url,
        connect_timeout=15,
        read_timeout=60,
        tries=3,
        connections=settings.slots + 8,
    )
    return UploadReader(Uploads(Bucket(client, settings.s3_bucket_name), settings.s3_prefix))


def _mismatch(why: str) -> PermanentError:
    return PermanentError(
        ErrorCode.UPLOAD_MISMATCH, f"The uploaded song is not the one that was announced: {why}"
    )


def _extension(file_name: str) -> str:
    """Returns the name's extension, in lower case with its dot; `.wav` where none is usual."""
    suffix = PurePosixPath(file_name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ".wav"
