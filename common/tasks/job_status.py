"""Makes the statuses of a service's jobs: progress on the way, and the end of the service's part.

The status at the end is a message of the job's own transaction. A status on the way goes through the outbox,
outside of any transaction, and may be lost. So each status holds everything that is known, not only news.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from common.errors import JobError
from common.kafka.records import Message
from common.tasks.audio import shown_audio
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
# The smallest step that is published: a download reports each piece of some KB.
_MIN_STEP = 0.001


class Outbox(Protocol):
    """Sends messages that may be lost. Never blocks and never raises."""

    def put(self, job: object, message: Message) -> None:
        """Sends `message` soon, in place of an earlier message of `job` that was not sent yet."""

    def drop(self, job: object) -> None:
        """Sends nothing more for this job."""


@dataclass(frozen=True)
class Statuses:
    """Makes the statuses of the jobs of worker `worker_id`; `wall_clock` gives seconds since the epoch."""

    topic: str
    outbox: Outbox
    wall_clock: Callable[[], float]
    worker_id: str | None = None

    def job(
        self,
        origin: Task | Separated | SeparationFailed,
        tries: tuple[int, ...] = (),
        attempt: int = 0,
        handed_back: int = 0,
        queued_at: float | None = None,
    ) -> "JobStatus":
        """Makes the status of one job. `queued_at`: when a retry was queued, in seconds since the epoch."""
        return JobStatus(self, origin, tries, attempt, handed_back, queued_at)


class JobStatus:
    """The status of one job. Only the job's own thread uses it."""

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
        self._accounted: dict[str, Any] = {}
        if isinstance(origin, Separated):
            self._accounted = {"audio_s": origin.audio_s, "engine_s": origin.engine_s}
        before = {} if isinstance(origin, Task) else origin.times
        self.times = {State.QUEUED: max(origin.submitted_at, queued_at or 0.0), **before}
        self._audio = shown_audio(origin.audio) if isinstance(origin, Task) else origin.audio

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A message that is sent later could come after the message of the job's end.
        self._statuses.outbox.drop(self)

    def enter(self, state: State, **fields: Any) -> None:
        """Publishes that the job is in `state`. The next states do not repeat `fields`."""
        self._state, self._fields = state, fields
        self.times[state] = self._statuses.wall_clock()
        self._progress = max(self._progress, _BEGINS[state])
        self._put()

    def advance(self, fraction: float) -> None:
        """Publishes that `fraction` of the state is done, 0 to 1. Ignores a step backwards. Never blocks."""
        begin, end = _BEGINS[self._state], _BEGINS[_ORDER[_ORDER.index(self._state) + 1]]
        progress = begin + min(1.0, max(0.0, fraction)) * (end - begin)
        if progress >= self._progress + _MIN_STEP:
            self._progress = progress
            self._put()

    def _put(self) -> None:
        progress = round(self._progress, 4)
        origin = self._origin
        told = {"hook_url": origin.hook_url, "hook_events": origin.hook_events}
        fields = self._fields | (told if origin.hook_events and origin.hook_url else {})
        self._statuses.outbox.put(self, self._message(_passing_key, self._state, progress=progress, **fields))

    def ended(self, state: State, **fields: Any) -> Message:
        """Returns the message that the service's part has ended, for the job's transaction.

        A job that waits for a retry has `next_try_at` among its `fields`.
        """
        self.times[state] = self._statuses.wall_clock()
        progress = _BEGINS.get(state) if "next_try_at" not in fields else None
        known = {"progress": progress, "hook_url": self._origin.hook_url}
        return self._message(_lasting_key, state, **{**known, **fields})

    def _message(self, key: Callable[[object], bytes], state: State, **fields: Any) -> Message:
        origin = self._origin
        status = Status(
            task_uuid=origin.task_uuid,
            run=origin.run,
            user=origin.user,
            submitted_at=origin.submitted_at,
            state=state,
            at=self._statuses.wall_clock(),
            times=self.times,
            worker_id=self._statuses.worker_id,
            audio=self._audio,
            choices=origin.choices,
            label=origin.label,
            metadata=origin.metadata,
            file_name=origin.file_name,
            priority=origin.priority,
            **{
                **self._accounted,
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
    """Returns a key of its own for progress. Compaction keeps the last record of each key only.

    With the task's own key, late progress from a worker that was frozen would replace the task's end.
    """
    return f"{task_uuid}/progress".encode()
