"""Merges the statuses of a task, which may be read in any order."""

from typing import Any

from common.kafka.lanes import DEFAULT_PRIORITY
from common.tasks.audio import shown_audio
from common.tasks.messages import State, Status, Task, Times

_STATES = tuple(State)
_SERVICE = {state: 0 for state in _STATES[:4]} | {state: 1 for state in _STATES[4:6]}
_FINAL = 2
Rank = tuple[int, ...]


def of_task(task: Task) -> Status:
    """Return the status of a task that no worker has taken yet."""
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
        audio=shown_audio(task.audio),
        choices=task.choices,
        label=task.label,
        metadata=task.metadata,
        file_name=task.file_name,
        priority=task.priority,
    )


def rank(status: Status) -> Rank:
    """Return eight numbers that order the statuses of a task: the status of the higher rank is valid.

    A run stays in its final state, whatever is read later. Among other states a later try counts more than a
    later phase. Times do not count: hosts' clocks differ, and a frozen worker publishes late.
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


def merged(known: Status | None, other: Status) -> Status:
    """Return the status that follows from both. It is `known` itself if `other` adds nothing."""
    if known is None:
        return other
    if known.deleted_at is not None and known.run >= other.run:
        return _with_owner(known, other)
    if other.deleted_at is not None and other.run >= known.run:
        return _with_owner(other, known)
    if _fixed_fields(other) != _fixed_fields(known):
        known, other = _with_common_fixed_fields(known, other)
    if other.run != known.run:
        return other if other.run > known.run else known
    # Of several records of one final state the latest is valid, because compaction keeps that one.
    times = _last_times(known.times, other.times)
    if rank(other) > rank(known) and not (known.state.is_final and other.state != known.state):
        return other if times == other.times else other.model_copy(update={"times": times})
    return known if times == known.times else known.model_copy(update={"times": times})


def _with_owner(deleted: Status, other: Status) -> Status:
    """Return the status of a task whose results are deleted, with the owner that another status names.

    What is accounted is kept as well. The rest of the other status is to be forgotten, whichever was read
    first.
    """
    if other.run == deleted.run:
        deleted = _with(deleted, _accounted(deleted, other))
    if deleted.user or not other.user:
        return deleted
    return _with(deleted, {"user": other.user, "submitted_at": other.submitted_at})


def _accounted(deleted: Status, other: Status) -> dict[str, Any]:
    """Return what stays for the accounts: the sweep of old results does not know all of it."""
    names = ("audio_s", "engine_s", "model")
    return {name: getattr(other, name) if (own := getattr(deleted, name)) is None else own for name in names}


def _last_times(one: Times, other: Times) -> Times:
    """Return when each state was entered last, in the order in which the states became known."""
    return {state: max(one.get(state, 0.0), other.get(state, 0.0)) for state in {**one, **other}}


def _fixed_fields(status: Status) -> tuple[Any, ...]:
    return (
        status.user,
        status.submitted_at,
        status.hook_url,
        status.audio,
        status.idempotency_key,
        status.submission_digest,
        status.choices,
        status.label,
        status.metadata,
        status.file_name,
        status.priority,
    )


def _with_common_fixed_fields(known: Status, other: Status) -> tuple[Status, Status]:
    """Return both statuses with the fields that never change, from the first status that has them."""
    fields = {
        "user": known.user or other.user,
        "submitted_at": known.submitted_at,
        "hook_url": known.hook_url or other.hook_url,
        "audio": known.audio or other.audio,
        "idempotency_key": known.idempotency_key or other.idempotency_key,
        "submission_digest": known.submission_digest or other.submission_digest,
        "choices": known.choices or other.choices,
        "label": known.label or other.label,
        "metadata": other.metadata if known.metadata is None else known.metadata,
        "file_name": known.file_name or other.file_name,
        "priority": other.priority if known.priority == DEFAULT_PRIORITY else known.priority,
    }
    return _with(known, fields), _with(other, fields)


def _with(status: Status, fields: dict[str, Any]) -> Status:
    """Return `status` with these fields: itself if it has them already."""
    is_same = all(getattr(status, name) == value for name, value in fields.items())
    return status if is_same else status.model_copy(update=fields)
