"""What goes wrong with the store, in our words: at start and in jobs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from common.errors import ErrorCode, JobError, PermanentError, TransientError

log = logging.getLogger(__name__)

# Beside 408, 429 and every 5xx. NoSuchUpload: another try of the same job has removed ours.
_TRANSIENT_CODES = {
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ExpiredToken",
    "BadDigest",
    "IncompleteBody",
    "NoSuchUpload",
    "ConditionalRequestConflict",
    "OperationAborted",
}


class StorageError(Exception):
    """The bucket cannot be used."""


class BucketMissing(StorageError):
    """The bucket does not exist."""


class AccessRefused(StorageError):
    """The store refuses our keys, or they may not use the bucket."""


class StoreUnreachable(StorageError):
    """The store does not answer."""


@contextmanager
def job_errors(what: str) -> Iterator[None]:
    """Turns the client's errors into PermanentError or TransientError, both `storage_error`."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log.error("storage error (%s): %s", what, error)
        raise _as_job_error(error) from error


def bucket_error(error: ClientError, bucket: str, where: str) -> StorageError:
    """What the store's answer to a question for its bucket means."""
    status = status_of(error)
    if status == 404:
        return BucketMissing(f"bucket {bucket!r} (S3_BUCKET_NAME) does not exist at {where}")
    if status in (401, 403):
        keys = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        return AccessRefused(f"the store at {where} refuses our keys for bucket {bucket!r} ({keys})")
    if status in (301, 307, 400):
        return AccessRefused(
            f"the store at {where} answers {status} for bucket {bucket!r}: is AWS_REGION right?"
        )
    return StoreUnreachable(f"the store at {where} answers {status}")


def _as_job_error(error: BotoCoreError | ClientError) -> JobError:
    if isinstance(error, ClientError):
        status, code = status_of(error), code_of(error)
        permanent = status < 500 and status not in (408, 429) and code not in _TRANSIENT_CODES
        said = f"{code} ({status})"
    else:
        permanent = isinstance(error, NoCredentialsError | PartialCredentialsError | ParamValidationError)
        said = type(error).__name__
    kind = PermanentError if permanent else TransientError
    return kind(ErrorCode.STORAGE_ERROR, f"The result could not be stored: {said}")


def status_of(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "unknown")
