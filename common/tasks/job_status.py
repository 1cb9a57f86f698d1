"""How far the jobs of a service are: what of it goes out on the way, and what ends its part.

What ends a service's part is a message of the job's own transaction. What comes between goes out by the
outbox, beside any transaction, and may be lost: each status holds all that is known, not what is new.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from common.errors import JobError
from common.kafka.records import Message
from common.outbound.addresses import without_secrets
from common.tasks.messages import Separated, SeparationFailed, State, Status, Task

# The share of the whole run at which each state begins: separating takes most of the time.
_BEGINS: Mapping[State, float] = {
    State.QUEUED: 0.0,
    State.DOWNLOADING: 0.0,
    State.PREPARING: 0.15,
    State.SEPARATING: 0.2,
    State.UPLOADING: 0.9,
    State.DELIVERING: 0.99,
    State.SUCCEEDED: 1.0,
}
_ORDER = tuple(_BEGINS)
# A download calls after each piece of some KB.
_MIN_STEP = 0.001


class Outbox(Protocol):
    """Takes what may be lost. Never blocks and never raises."""

    def put(self, job: object, message: Message) -> None:
        """In place of what `job` has put before and has not gone out yet."""

    def drop(self, job: object) -> None:
        """Nothing of this job goes out any more."""


class NoOutbox:
    """Where nobody listens."""

    def put(self, job: object, message: Message) -> None: ...

    def drop(self, job: object) -> None: ...


@dataclass(frozen=True)
class Statuses:
    """Makes the statuses of a service's jobs; `wall_clock` gives seconds since the epoch."""

    topic: str
    outbox: Outbox
    wall_clock: Callable[[], float]

    def job(
        self,
        origin: Task | Separated | SeparationFailed,
        tries: tuple[int, ...] = (),
        attempt: int = 0,
        handed_back: int = 0,
        queued_at: float | None = None,
    ) -> "JobStatus":
        """`queued_at` is when a retry of the task was queued, in seconds since the epoch; else None."""
        return JobStatus(self, origin, tries, attempt, handed_back, queued_at)


class JobStatus:
    """One job's status as it goes along. Used by the job's own thread."""

    def __init__(
        self,
        statuses: Statuses,
        origin: Task | Separated | SeparationFailed,
        tries: tuple[int, ...],
        attempt: int,
        handed_back: int,
        queued_at: float | None,
    ):
        self._statuses, self._origin = statuses, origin
        self._tries, self._attempt, self._handed_back = tries, attempt, handed_back
        self._state = State.QUEUED
        self._fields: dict[str, Any] = {}
        self._progress = 0.0
        before = {} if isinstance(origin, Task) else origin.times
        self.times = {State.QUEUED: max(origin.submitted_at, queued_at or 0.0), **before}
        self._audio = without_secrets(origin.audio) if isinstance(origin, Task) else origin.audio

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What goes out later might well come after the job's end.
        self._statuses.outbox.drop(self)

    def enter(self, state: State, **fields: Any) -> None:
        """`fields` are what is known from here on, until the next state."""
        self._state, self._fields = state, fields
        self.times[state] = self._statuses.wall_clock()
        self._progress = max(self._progress, _BEGINS[state])
        self._put()

    def advance(self, fraction: float) -> None:
        """`fraction` of the state is done, 0 to 1; what is less than before is passed over. Never blocks."""
        begin, end = _BEGINS[self._state], _BEGINS[_ORDER[_ORDER.index(self._state) + 1]]
        progress = begin + min(1.0, max(0.0, fraction)) * (end - begin)
        if progress >= self._progress + _MIN_STEP:
            self._progress = progress
            self._put()

    def _put(self) -> None:
        progress = round(self._progress, 4)
        self._statuses.outbox.put(
            self, self._message(_passing_key, self._state, progress=progress, **self._fields)
        )

    def ended(self, state: State, **fields: Any) -> Message:
        """For the job's transaction: the service's part is over, or waits until `next_try_at`."""
        self.times[state] = self._statuses.wall_clock()
        progress = _BEGINS.get(state) if "next_try_at" not in fields else None
        known = {"progress": progress, "hook_url": self._origin.hook_url}
        return self._message(_lasting_key, state, **{**known, **fields})

    def _message(self, key, state: State, **fields: Any) -> Message:
        origin = self._origin
        status = Status(
            task_uuid=origin.task_uuid,
            run=origin.run,
            user=origin.user,
            submitted_at=origin.submitted_at,
            state=state,
            at=self._statuses.wall_clock(),
            times=self.times,
            audio=self._audio,
            **{
                "tries": self._tries,
                "attempt": self._attempt,
                "handed_back": self._handed_back,
                **fields,
            },
        )
        return Message(self._statuses.topic, key(origin.task_uuid), status.to_bytes())


def failure(error: JobError) -> dict[str, str]:
    """The fields that tell of a failure."""
    return {"error_code": error.code, "error_message": error.short_message}


def _lasting_key(task_uuid: object) -> bytes:
    return str(task_uuid).encode()


def _passing_key(task_uuid: object) -> bytes:
    """Another key: of each, compaction keeps the last record alone, and progress that comes late, from a
    worker that was frozen, must not take the place of the task's end."""
    return f"{task_uuid}/progress".encode()
