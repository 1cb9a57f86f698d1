"""Which answers of the store fail a job at once, and which are worth another try."""

import pytest

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.storage.storage_errors import job_errors
from tests.support.memory_s3 import error

# Every job of a service whose clock drifts or whose keys were rotated gets such an answer.
FOR_THE_OPERATOR = [
    ("RequestTimeTooSkewed", 403),
    ("RequestExpired", 400),
    ("InvalidAccessKeyId", 403),
    ("SignatureDoesNotMatch", 403),
    ("AuthorizationHeaderMalformed", 400),
    ("InvalidToken", 400),
    ("ExpiredToken", 400),
    ("ExpiredTokenException", 400),
    ("TokenRefreshRequired", 400),
    ("NoSuchBucket", 404),
    ("QuotaExceeded", 403),
    ("XMinioAdminBucketQuotaExceeded", 400),
    ("KMS.DisabledException", 400),
    ("KMS.KMSInvalidStateException", 400),
    ("KMS.NotFoundException", 400),
    ("AccountProblem", 403),
    ("AllAccessDisabled", 403),
    ("NotSignedUp", 403),
    ("PermanentRedirect", 301),
]
PASSING = [
    ("SlowDown", 503),
    ("InternalError", 500),
    ("XMinioStorageFull", 507),
    ("Unknown", 429),
    ("Throttling", 400),
    ("BadDigest", 400),
    ("NoSuchUpload", 404),
    ("OperationAborted", 409),
]
# Nobody can list all codes of all stores. HEAD has a status alone.
UNHEARD_OF = [
    (code, status) for code in ("MadeUpByAStore", "unknown", "403") for status in (400, 403, 409, 0)
]
FOR_GOOD = [
    ("AccessDenied", 403),
    ("EntityTooLarge", 400),
    ("InvalidRequest", 400),
    ("InvalidArgument", 400),
    ("KeyTooLongError", 400),
    ("NoSuchKey", 404),
]


def job_error(code: str, status: int) -> JobError:
    with pytest.raises(JobError) as caught, job_errors("upload"):
        raise error(code, status)
    assert caught.value.message == f"The result could not be stored: {code} ({status})"
    assert caught.value.code is ErrorCode.STORAGE_ERROR
    return caught.value


@pytest.mark.parametrize(("code", "status"), FOR_THE_OPERATOR + PASSING + UNHEARD_OF)
def test_what_passes_or_an_operator_can_mend_is_tried_again(code, status):
    assert isinstance(job_error(code, status), TransientError)


@pytest.mark.parametrize(("code", "status"), FOR_GOOD)
def test_what_no_wait_changes_fails_the_job_at_once(code, status):
    assert isinstance(job_error(code, status), PermanentError)
