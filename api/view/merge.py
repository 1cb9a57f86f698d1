"""What a task's status is, given two that are told of it, in whatever order they come."""

from typing import Any

from common.outbound.addresses import without_secrets
from common.tasks.messages import State, Status, Task, Times

_STATES = tuple(State)
_SERVICE = {state: 0 for state in _STATES[:4]} | {state: 1 for state in _STATES[4:6]}
_FINAL = 2
Rank = tuple[int, ...]


def of_task(task: Task) -> Status:
    """Its record is all that is told of a task that nobody has taken yet."""
    return Status(
        task_uuid=task.task_uuid,
        run=task.run,
        user=task.user,
        submitted_at=task.submitted_at,
        state=State.QUEUED,
        at=task.submitted_at,
        progress=0.0,
        times={State.QUEUED: task.submitted_at},
        idempotency_key=task.idempotency_key,
        submission_digest=task.submission_digest,
        hook_url=task.hook_url,
        audio=without_secrets(task.audio),
    )


def rank(status: Status) -> Rank:
    """Of two statuses of a task the one of the higher rank holds: eight numbers.

    A run never leaves its end, whatever comes late, and tries count for more than how far they came. Not the
    time: the clocks of several hosts, and a worker that was frozen, would turn it back.
    """
    first, second, *_ = (*status.tries, 0, 0)
    return (
        status.run,
        _SERVICE.get(status.state, _FINAL),
        first,
        second,
        status.attempt,
        _STATES.index(status.state),
        int(1000 * (status.progress or 0)),
        int(1000 * status.at) if status.state.is_final else 0,
    )


def merged(known: Status | None, told: Status) -> Status:
    """`known` itself when `told` says nothing new."""
    if known is None:
        return told
    if _origin(told) != _origin(known):
        known, told = _of_one_origin(known, told)
    if told.run != known.run:
        return told if told.run > known.run else known
    # Of several records of one end the latest holds, since that is the one that compaction leaves.
    times = _last_times(known.times, told.times)
    if rank(told) > rank(known) and not (known.state.is_final and told.state != known.state):
        return told if times == told.times else told.model_copy(update={"times": times})
    return known if times == known.times else known.model_copy(update={"times": times})


def _last_times(one: Times, other: Times) -> Times:
    """When each state was entered last, in the order in which that was first told."""
    return {state: max(one.get(state, 0.0), other.get(state, 0.0)) for state in {**one, **other}}


def _origin(status: Status) -> tuple[Any, ...]:
    return (
        status.user,
        status.submitted_at,
        status.hook_url,
        status.audio,
        status.idempotency_key,
        status.submission_digest,
    )


def _of_one_origin(known: Status, told: Status) -> tuple[Status, Status]:
    """With all that either says of what never changes: the first that says it holds."""
    fields = {
        "user": known.user or told.user,
        "submitted_at": known.submitted_at,
        "hook_url": known.hook_url or told.hook_url,
        "audio": known.audio or told.audio,
        "idempotency_key": known.idempotency_key or told.idempotency_key,
        "submission_digest": known.submission_digest or told.submission_digest,
    }
    return _with(known, fields), _with(told, fields)


def _with(status: Status, fields: dict[str, Any]) -> Status:
    """`status` itself when they are its own."""
    is_same = all(getattr(status, name) == value for name, value in fields.items())
    return status if is_same else status.model_copy(update=fields)
