"""What a task's status is, given two that are told of it, in whatever order they come."""

from common.messages import State, Status, Task

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
        hook_url=task.hook_url,
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
    # Who it is for never changes; a worker of an earlier version does not say it.
    if told.user != known.user or told.submitted_at != known.submitted_at:
        told = told.model_copy(update={"user": known.user or told.user, "submitted_at": known.submitted_at})
    # Nor does whom to call, which not every status says.
    known, told = _calling(known, told.hook_url), _calling(told, known.hook_url)
    if told.run != known.run:
        return told if told.run > known.run else known
    # Of several records of one end the latest holds, since that is the one that compaction leaves.
    if rank(told) > rank(known) and not (known.state.is_final and told.state != known.state):
        times = {**known.times, **told.times}
        return told if times == told.times else told.model_copy(update={"times": times})
    if told.times.keys() <= known.times.keys():
        return known
    return known.model_copy(update={"times": {**told.times, **known.times}})


def _calling(status: Status, hook_url: str | None) -> Status:
    if hook_url is None or status.hook_url is not None:
        return status
    return status.model_copy(update={"hook_url": hook_url})
