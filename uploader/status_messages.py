"""Makes the status messages that report a run's end, or its wait for the callback."""

from common.errors import ErrorCode, JobError
from common.kafka.records import Message
from common.tasks.job_status import JobStatus, failure
from common.tasks.messages import FailureCallback, State, SuccessCallback
from uploader import callback


def after_callback(
    status: JobStatus,
    body: bytes,
    error: JobError | None = None,
    next_try_at: float | None = None,
    tries: int = 0,
    unstored: bool = False,
) -> Message:
    """Returns the status after a try of the callback with `body`, or after there was nobody to call.

    `error` is what the try failed with. The next try comes at `next_try_at` (seconds since the epoch), if
    any; `tries` is the number of tries so far. `unstored` is as in `after_failed_run`.

    A failed run is over, whether the callback was taken or not. A successful run is over too once nobody is
    left to call: its stems are there, and the status says why there was no callback.
    """
    failed, succeeded = callback.as_failure(body), callback.as_success(body)
    if failed:
        return after_failed_run(status, failed, unstored, next_try_at)
    known = {**_model(succeeded), **(failure(error) if error else {})}
    if next_try_at is not None:
        # The counts of the job's own schedule went back to 0 with the callback's first try.
        waits = {"next_try_at": next_try_at, "tries": (tries, 0), "attempt": 0, "handed_back": 0}
        return status.ended(State.DELIVERING, result=succeeded, **waits, **known)
    return status.ended(State.SUCCEEDED, result=succeeded, **known)


def while_waiting(status: JobStatus, body: bytes) -> tuple[Message, ...]:
    """Returns the status of a successful run whose callback waits for a place.

    Returns nothing for a failed run: the processor has reported that run as DELIVERING already.
    """
    succeeded = callback.as_success(body)
    if succeeded is None:
        return ()
    return (status.ended(State.DELIVERING, result=succeeded, **_model(succeeded)),)


def after_failed_run(
    status: JobStatus, failed: FailureCallback, unstored: bool, next_try_at: float | None = None
) -> Message:
    """Returns the final status of a failed run. `unstored`: no manifest holds the callback's body.

    The callback is tried again at `next_try_at` (seconds since the epoch), if at all.
    """
    state = State.CANCELLED if failed.error_code == ErrorCode.CANCELLED else State.FAILED
    why = {"error_code": failed.error_code, "error_message": failed.error_message}
    return status.ended(state, failure=failed, unstored=unstored, callback_next_try_at=next_try_at, **why)


def _model(succeeded: SuccessCallback | None) -> dict[str, str]:
    return {"model": succeeded.model, "device": succeeded.device} if succeeded else {}
