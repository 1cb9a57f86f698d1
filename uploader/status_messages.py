"""What a task's status says once its callback was posted."""

from common.errors import ErrorCode, JobError
from common.kafka.records import Message
from common.tasks.job_status import JobStatus, failure
from common.tasks.messages import FailureCallback, State
from uploader import callback


def of_delivery(
    status: JobStatus,
    body: bytes,
    error: JobError | None,
    next_try_at: float | None,
    callbacks: int,
    unstored: bool = False,
) -> Message:
    """`callbacks` are those before this one; `error` and `next_try_at` say what became of it.

    `unstored` as in `of_failure`.

    A run that has failed is over, whether anybody could be told or not. One that has succeeded is over
    too when nobody could be told: its stems are there, and it says why there was no callback.
    """
    failed, succeeded = callback.as_failure(body), callback.as_success(body)
    if failed:
        return of_failure(status, failed, unstored, next_try_at)
    known = {"model": succeeded.model, "device": succeeded.device} if succeeded else {}
    known |= failure(error) if error else {}
    if next_try_at is not None:
        # The callback's tries begin the others anew.
        tries = (callbacks + 1, 0)
        waits = {"next_try_at": next_try_at, "tries": tries, "attempt": 0, "handed_back": 0}
        return status.ended(State.DELIVERING, result=succeeded, **waits, **known)
    return status.ended(State.SUCCEEDED, result=succeeded, **known)


def of_waiting(status: JobStatus, body: bytes) -> tuple[Message, ...]:
    """A success that waits for its callback's place; of a failure the processor has told that already."""
    succeeded = callback.as_success(body)
    if succeeded is None:
        return ()
    known = {"model": succeeded.model, "device": succeeded.device}
    return (status.ended(State.DELIVERING, result=succeeded, **known),)


def of_failure(
    status: JobStatus, failed: FailureCallback, unstored: bool, next_try_at: float | None = None
) -> Message:
    """How a run ends that has failed. `unstored`: no manifest holds the callback's body.

    `next_try_at` is when its callback is tried again.
    """
    state = State.CANCELLED if failed.error_code == ErrorCode.CANCELLED else State.FAILED
    why = {"error_code": failed.error_code, "error_message": failed.error_message}
    return status.ended(state, failure=failed, unstored=unstored, callback_next_try_at=next_try_at, **why)
