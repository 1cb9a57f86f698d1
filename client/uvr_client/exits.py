"""Defines the exit codes of `uvr`. If several apply, the highest one is used.

Python exits with 1 on a defect of ours, so no code is 1. The codes from 64 to 77 are those of sysexits.h.
"""

from enum import IntEnum

from uvr_client.errors import (
    BadRequest,
    Conflict,
    DownloadFailed,
    NoResult,
    NotFound,
    OutputFailed,
    StemsDeleted,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
    UploadFailed,
    UvrError,
)
from uvr_client.models import State, Task


class Exit(IntEnum):
    """The exit codes, which scripts may depend on."""

    DONE = 0
    USAGE = 2
    CANCELLED = 3
    FAILED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    BAD_SETTINGS = 64
    BAD_REQUEST = 65
    UPLOAD_FAILED = 66
    UNREACHABLE = 69
    SERVER_ERROR = 70
    DOWNLOAD_FAILED = 74
    OUTPUT_FAILED = 74
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
    (UploadFailed, Exit.UPLOAD_FAILED),
    (StemsDeleted, Exit.NOT_FOUND),
    (NoResult, Exit.DOWNLOAD_FAILED),
    (OutputFailed, Exit.OUTPUT_FAILED),
)


def of_error(error: UvrError) -> Exit:
    """Returns the exit code of a failed call."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), Exit.SERVER_ERROR)


def of_task(task: Task) -> Exit:
    """Returns the exit code of an ended task. A task that passed its deadline counts as cancelled."""
    if task.succeeded:
        return Exit.DONE
    stopped = task.state == State.CANCELLED or task.error_code in ("cancelled", "deadline_exceeded")
    return Exit.CANCELLED if stopped else Exit.FAILED
