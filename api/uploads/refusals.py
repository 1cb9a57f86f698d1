"""The problems of requests about uploads."""

from collections.abc import Sequence
from uuid import UUID

from api.problems import ProblemError
from api.uploads.models import UploadErrorCode


def too_large(max_bytes: int, limit: str = "MAX_AUDIO_BYTES") -> ProblemError:
    """The problem of a song that is larger than the setting `limit` allows for any."""
    return ProblemError(
        413,
        f"The song is larger than {max_bytes} bytes, the limit by {limit}",
        error_code=UploadErrorCode.TOO_LARGE,
    )


def off(why: str) -> ProblemError:
    return ProblemError(
        501,
        f"This api takes no uploads, since {why}: submit the song's address, or ask the operator",
        error_code=UploadErrorCode.OFF,
    )


def unknown() -> ProblemError:
    return ProblemError(404, "There is no such upload", error_code=UploadErrorCode.UNKNOWN)


def mismatch(why: str) -> ProblemError:
    return ProblemError(
        400, f"The song is not the one that was announced: {why}", error_code=UploadErrorCode.MISMATCH
    )


def parts_differ(numbers: Sequence[int], count: int) -> ProblemError:
    """The problem of a request that names the parts `numbers` in place of 1 to `count`."""
    missing = sorted({*range(1, count + 1)}.difference(numbers))
    what = f"part {missing[0]} is missing" if missing else "a part is named twice, or never was"
    return ProblemError(
        400,
        f"parts: {what}; please name each part from 1 to {count} once, with its ETag",
        error_code=UploadErrorCode.MISMATCH,
    )


def expired() -> ProblemError:
    return ProblemError(
        410, "The upload has expired: upload the song again", error_code=UploadErrorCode.EXPIRED
    )


def incomplete() -> ProblemError:
    return ProblemError(
        409,
        "The upload is incomplete: PUT the song to its address, and complete an upload in parts",
        error_code=UploadErrorCode.INCOMPLETE,
    )


def in_use(tasks: Sequence[UUID]) -> ProblemError:
    named = f": {tasks[0]}" if len(tasks) == 1 else f": {len(tasks)} tasks"
    return ProblemError(
        409,
        f"The upload is used by a task that has not ended{named}; cancel it first, or wait",
        error_code=UploadErrorCode.IN_USE,
    )


def empty(what: str) -> ProblemError:
    return ProblemError(400, f"{what} has 0 bytes", error_code=UploadErrorCode.EMPTY)


def no_room(what: str) -> ProblemError:
    return ProblemError(
        429,
        f"{what}: DELETE /uploads/… those that you no longer need, or wait until they expire",
        error_code=UploadErrorCode.TOO_MUCH,
        headers={"Retry-After": "60"},
    )
