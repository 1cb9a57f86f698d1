"""The errors with which a job can fail, each with its code."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The values of `error_code` in failure callbacks and dead letters."""

    INVALID_MESSAGE = "invalid_message"
    ADDRESS_INVALID = "address_invalid"
    ADDRESS_BLOCKED = "address_blocked"
    DOWNLOAD_TIMEOUT = "download_timeout"
    HTTP_ERROR = "http_error"
    NETWORK_ERROR = "network_error"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    TOO_MANY_CHANNELS = "too_many_channels"
    EMPTY_FILE = "empty_file"
    NOT_AUDIO = "not_audio"
    FORMAT_UNSUPPORTED = "format_unsupported"
    NO_AUDIO_STREAM = "no_audio_stream"
    TRUNCATED_AUDIO = "truncated_audio"
    DISK_FULL = "disk_full"
    ENGINE_CRASHED = "engine_crashed"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    ENGINE_TIMEOUT = "engine_timeout"
    OUT_OF_MEMORY = "out_of_memory"
    STAGE_MISSING = "stage_missing"
    STAGE_MISMATCH = "stage_mismatch"
    STORAGE_ERROR = "storage_error"
    CALLBACK_FAILED = "callback_failed"
    CALLBACK_GONE = "callback_gone"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL_ERROR = "internal_error"


# Nobody wants the stems of a run that fails with one of these: none are kept.
UNWANTED = frozenset({ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED})


class JobError(Exception):
    """The job could not be done."""

    def __init__(self, code: ErrorCode, message: str | None = None):
        super().__init__(message or (self.__doc__ or "").strip())
        self.code = code

    @property
    def message(self) -> str:
        """The text, fit for any encoder: an error with an undecodable file name holds lone surrogates."""
        return str(self).encode(errors="replace").decode()


class PermanentError(JobError):
    """The job fails the same way however often it is tried."""


class TransientError(JobError):
    """The job could not be done now, but a later try may succeed."""

    def __init__(self, code: ErrorCode, message: str | None = None, retry_after_s: float | None = None):
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class UnlikelyError(TransientError):
    """The job could not be done now, and a later try will hardly do better.

    Two retries follow within a minute, in case somebody mends the cause at once. Then the job fails.
    """


class CrashError(JobError):
    """The process that worked on the job has died, be it of this job or of another cause."""


class Cancelled(Exception):
    """The job must stop here, since its record belongs to another worker now: nothing is published."""
