"""Turns the errors of the S3 client into ours: StorageError at the start, JobError in jobs."""

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

# The codes that are about the one object or the one request, which no wait changes. Every other one is worth
# another try, whatever its status and whoever has made it up: of a full quota, a disabled KMS key, a blocked
# account, wrong keys or a wrong clock each job of a service fails alike, until an operator has mended it.
# AccessDenied is among them, since a policy may forbid the one object.
_PERMANENT_CODES = {
    "AccessDenied",
    "EntityTooLarge",
    "EntityTooSmall",
    "InvalidArgument",
    "InvalidDigest",
    "InvalidObjectState",
    "InvalidPart",
    "InvalidPartOrder",
    "InvalidRange",
    "InvalidRequest",
    "InvalidURI",
    "KeyTooLongError",
    "MalformedXML",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "MissingContentLength",
    "NoSuchKey",
    "NoSuchVersion",
    "PreconditionFailed",
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
def job_errors(what: str, failed: str = "The result could not be stored") -> Iterator[None]:
    """Turns the client's errors in the block into PermanentError or TransientError (storage_error).

    `what` names the step in the log; `failed` begins the message for the user.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log.error("storage error (%s): %s", what, error)
        raise _as_job_error(error, failed) from error


@contextmanager
def staging_errors(what: str) -> Iterator[None]:
    """Turns the client's errors in the block into TransientError (storage_error).

    None is permanent: a song that was separated for an hour is worth tries until an operator has mended the
    keys or the bucket. `what` names the step in the log.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log.error("storage error (%s): %s", what, error)
        message = f"The stems could not be staged in the bucket: {reason_of(error)}"
        raise TransientError(ErrorCode.STORAGE_ERROR, message) from error


def reason_of(error: BotoCoreError | ClientError) -> str:
    """Returns a few words on the error, without addresses and keys."""
    if isinstance(error, ClientError):
        return f"{code_of(error)} ({status_of(error)})"
    return type(error).__name__


def is_outage(error: BotoCoreError | ClientError) -> bool:
    """Returns whether the store gave no answer, or one that says that it is in trouble itself."""
    return not isinstance(error, ClientError) or status_of(error) >= 500


def bucket_error(error: ClientError, bucket: str, where: str) -> StorageError:
    """Returns the error that the store's answer about its bucket means. `where` names the store."""
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


def _as_job_error(error: BotoCoreError | ClientError, failed: str) -> JobError:
    if isinstance(error, ClientError):
        permanent = code_of(error) in _PERMANENT_CODES and status_of(error) < 500
    else:
        permanent = isinstance(error, NoCredentialsError | PartialCredentialsError | ParamValidationError)
    kind = PermanentError if permanent else TransientError
    return kind(ErrorCode.STORAGE_ERROR, f"{failed}: {reason_of(error)}")


def status_of(error: ClientError) -> int:
    """Returns the HTTP status of the store's answer, 0 if there is none."""
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def code_of(error: ClientError) -> str:
    """Returns S3's error code, such as "NoSuchKey"."""
    code: str = error.response.get("Error", {}).get("Code", "unknown")
    return code
