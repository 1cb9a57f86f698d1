"""Refuses tasks without stems, for all routes that read stems."""

from api.problems import ProblemError
from api.routes.deletion import TASK_DELETED, refuse_deleted
from api.routes.responses import problem_answer
from common.tasks.messages import State, Status, SuccessCallback

NO_STEMS = "The task has no stems: its state is {state}"
NO_STEMS_EXAMPLE = NO_STEMS.format(state=State.SEPARATING)
DELETED = problem_answer(
    410,
    "The stems have been deleted (`error_code` `task_deleted`)",
    "The task's results have been deleted",
    error_code=TASK_DELETED,
    state=State.SUCCEEDED,
)


def result_of(status: Status) -> SuccessCallback:
    """Return what the task's stems are. Raise ProblemError: 410 once they are deleted, 409 without any."""
    refuse_deleted(status)
    if status.result is None:
        raise ProblemError(409, NO_STEMS.format(state=status.state), state=status.state)
    return status.result
