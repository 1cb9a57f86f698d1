"""The errors that end a job: permanent or transient, each with a code that users see."""

import errno
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
    MODEL_UNKNOWN = "model_unknown"
    PRESET_UNKNOWN = "preset_unknown"
    STEM_UNKNOWN = "stem_unknown"
    WINDOW_EMPTY = "window_empty"
    UPLOAD_MISSING = "upload_missing"
    UPLOAD_MISMATCH = "upload_mismatch"
    RESULT_DELETED = "result_deleted"


# Results, statuses and callbacks carry no more of an error's text.
_MAX_SHORT_CHARS = 1_000

# Runs that end with these codes were called off: neither their stems nor a dead letter is kept.
UNWANTED = frozenset({ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED})


class JobError(Exception):
    """The job could not be done."""

    def __init__(self, code: ErrorCode, message: str | None = None):
        super().__init__(message or (self.__doc__ or "").strip())
        self.code = code

    @property
    def message(self) -> str:
        """The text, without the lone surrogates that an undecodable file name has: no encoder takes them."""
        return str(self).encode(errors="replace").decode()

    @property
    def short_message(self) -> str:
        """The first 1,000 characters of `message`, for results, statuses and callbacks."""
        return self.message[:_MAX_SHORT_CHARS]


class PermanentError(JobError):
    """The job fails the same way however often it is tried."""


class TransientError(JobError):
    """The job could not be done now, but a later try may succeed."""

    def __init__(self, code: ErrorCode, message: str | None = None, retry_after_s: float | None = None):
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class UnlikelyError(TransientError):
    """The job could not be done now, and a later try will hardly do better.

    The job is tried twice more within a minute, in case somebody mends the cause at once, and then given up.
    """


class CrashError(JobError):
    """The process that did the job has died, because of the job or beside it."""


class Cancelled(Exception):
    """The job must stop here because another worker does it: this one publishes nothing."""


def is_disk_full(error: BaseException) -> bool:
    """Tells whether the operating system refused a write because the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
