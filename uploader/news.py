"""What a task's status says once its callback was posted."""

from common.errors import ErrorCode, JobError
from common.messages import State
from common.outcome import Message
from common.status import JobStatus, failure
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

    `unstored`: no manifest holds the body.

    A run that has failed is over, whether anybody could be told or not. One that has succeeded is over
    too when nobody could be told: its stems are there, and it says why there was no callback.
    """
    failed, succeeded = callback.as_failure(body), callback.as_success(body)
    if failed:
        why = {"error_code": failed.error_code, "error_message": failed.error_message}
        state = failed_state(failed.error_code)
        return status.ended(state, failure=failed, unstored=unstored, **why)
    known = {"model": succeeded.model, "device": succeeded.device} if succeeded else {}
    known |= failure(error) if error else {}
    if next_try_at is not None:
        # The callback's tries begin the others anew.
        tries = (callbacks + 1, 0)
        waits = {"next_try_at": next_try_at, "tries": tries, "attempt": 0}
        return status.ended(State.DELIVERING, result=succeeded, **waits, **known)
    return status.ended(State.SUCCEEDED, result=succeeded, **known)


def failed_state(error_code: str) -> State:
    """The final state of a run that has failed with this code."""
    return State.CANCELLED if error_code == ErrorCode.CANCELLED else State.FAILED
