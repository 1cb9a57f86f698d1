"""The exit codes of `uvr`, which scripts tell ends apart by. Of several the highest counts.

1 is left to Python, for a defect of ours; those from 64 on are those of sysexits.h.
"""

from enum import IntEnum

from uvr_client.errors import (
    BadRequest,
    Conflict,
    DownloadFailed,
    NoResult,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
    UvrError,
)
from uvr_client.models import State, Task


class Exit(IntEnum):
    DONE = 0
    USAGE = 2
    CANCELLED = 3
    FAILED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    BAD_SETTINGS = 64
    BAD_REQUEST = 65
    UNREACHABLE = 69
    SERVER_ERROR = 70
    DOWNLOAD_FAILED = 74
    REFUSED = 75
    UNAUTHORIZED = 77
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_OF_ERRORS: tuple[tuple[type[UvrError], Exit], ...] = (
    (Unreachable, Exit.UNREACHABLE),
    (Unauthorized, Exit.UNAUTHORIZED),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (TooManyRequests, Exit.REFUSED),
    (Unavailable, Exit.REFUSED),
    (BadRequest, Exit.BAD_REQUEST),
    (DownloadFailed, Exit.DOWNLOAD_FAILED),
    (NoResult, Exit.DOWNLOAD_FAILED),
)


def of_error(error: UvrError) -> Exit:
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), Exit.SERVER_ERROR)


def of_task(task: Task) -> Exit:
    """By how a task that is over has ended; one whose deadline has passed was cancelled as well."""
    if task.succeeded:
        return Exit.DONE
    stopped = task.state == State.CANCELLED or task.error_code in ("cancelled", "deadline_exceeded")
    return Exit.CANCELLED if stopped else Exit.FAILED
