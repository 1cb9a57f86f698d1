"""The models of the answers about all tasks together, with their examples."""

from uuid import UUID

from pydantic import BaseModel, Field

from common.tasks.messages import State

_TIME = "in seconds since the epoch"


class Finished(BaseModel):
    """Counts runs of tasks by their end."""

    succeeded: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        return self.succeeded + self.failed + self.cancelled


class QueueLane(BaseModel):
    """The tasks of one priority."""

    priority: int = Field(description="3 unless the submission said otherwise")
    waiting: int
    oldest_waiting_at: float | None = Field(default=None, description=f"when its first was queued, {_TIME}")
    running: int


class QueueHour(BaseModel):
    """The runs that have ended within one hour of the clock (UTC)."""

    since: float = Field(description=f"when the hour began, {_TIME}")
    finished: Finished


class QueueNow(BaseModel):
    """The tasks that wait and run at `at`, in seconds since the epoch."""

    at: float
    waiting: int = Field(description="tasks that no worker has taken; without those that wait for a retry")
    oldest_waiting_at: float | None = Field(default=None, description=f"when the first was queued, {_TIME}")
    retrying: int = Field(description="tasks that wait for a retry")
    states: dict[State, int] = Field(description="how many tasks are in each state that is not final")
    lanes: list[QueueLane] = Field(description="by priority, the most urgent first")
    last_hour: Finished = Field(description="the runs that have ended within the last 60 minutes")
    hours: list[QueueHour] = Field(description="the oldest first; the last one is not over")


class FailureKind(BaseModel):
    """One error code, how often it has come, and the task to which it came last."""

    error_code: str
    count: int
    last_at: float = Field(description=_TIME)
    last_task_uuid: UUID


class FailureHour(BaseModel):
    """The failures of one hour of the clock (UTC)."""

    since: float = Field(description=f"when the hour began, {_TIME}")
    codes: dict[str, int] = Field(description="how often each error code has come")


class Failures(BaseModel):
    """The failures of the last hours."""

    codes: list[FailureKind] = Field(description="the most frequent first, at most 50")
    hours: list[FailureHour] = Field(description="the oldest first; the last one is not over")


class UserCounts(BaseModel):
    """The tasks of one user."""

    user: str
    queued: int = Field(description="tasks that wait for a worker, or for a retry")
    running: int
    finished: Finished = Field(description="the runs that have ended within the last 24 hours")


class Users(BaseModel):
    """The users with tasks, those with the most unfinished ones first."""

    users: list[UserCounts]
    left_out: int = Field(description="how many users more there are than `limit`")


_AT = 1750003200.0
_HOUR = Finished(succeeded=58, failed=2, cancelled=1)
EXAMPLE_QUEUE = QueueNow(
    at=_AT + 600,
    waiting=17,
    oldest_waiting_at=_AT + 540,
    retrying=1,
    states={
        State.QUEUED: 18,
        State.DOWNLOADING: 1,
        State.PREPARING: 0,
        State.SEPARATING: 2,
        State.UPLOADING: 0,
        State.DELIVERING: 1,
    },
    lanes=[QueueLane(priority=3, waiting=17, oldest_waiting_at=_AT + 540, running=4)],
    last_hour=_HOUR,
    hours=[QueueHour(since=_AT, finished=Finished(succeeded=9, failed=0, cancelled=0))],
)
EXAMPLE_FAILURES = Failures(
    codes=[
        FailureKind(
            error_code="http_error",
            count=2,
            last_at=_AT + 300,
            last_task_uuid=UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        )
    ],
    hours=[FailureHour(since=_AT, codes={"http_error": 2})],
)
EXAMPLE_USERS = Users(users=[UserCounts(user="alice", queued=3, running=1, finished=_HOUR)], left_out=0)
