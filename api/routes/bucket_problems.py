"""Answers a request for which the bucket is needed and cannot be read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from api.archive.errors import BucketUnavailable
from api.problems import ProblemError

log = logging.getLogger(__name__)

BUCKET_UNAVAILABLE = "bucket_unavailable"
DETAIL = (
    "The store of the stems cannot be read by the api; please try again. If it happens again, the operator "
    "should check S3_BUCKET_NAME, S3_ENDPOINT_URL and the api's keys"
)
_RETRY_AFTER_S = 10


@contextmanager
def bucket_read() -> Iterator[None]:
    """Turn a BucketUnavailable into a ProblemError 503, and log the reason."""
    try:
        yield
    except BucketUnavailable as error:
        log.warning("the bucket cannot be read: %s", error)
        headers = {"Retry-After": str(_RETRY_AFTER_S)}
        raise ProblemError(503, DETAIL, error_code=BUCKET_UNAVAILABLE, headers=headers) from None
