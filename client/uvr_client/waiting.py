"""Follows many tasks at once, each through a stream of its own."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from uuid import UUID

from uvr_client.errors import UvrError
from uvr_client.models import Task

_MAX_STREAMS = 64

Follow = Callable[[UUID], Iterator[Task]]


def follow_all(follow: Follow, task_uuids: Iterable[UUID]) -> Iterator[tuple[UUID, Task | UvrError | None]]:
    """Yields each status that `follow` yields for each task, and None once a task has no more.

    A UvrError ends the following of its own task only; any other exception is raised. At most 64 tasks are
    followed at once, in the given order. The threads are daemons, so that an interrupted command does not
    wait for them.
    """
    wanted: SimpleQueue[UUID | None] = SimpleQueue()
    updates: SimpleQueue[_Update] = SimpleQueue()
    remaining = list(dict.fromkeys(task_uuids))
    count = min(len(remaining), _MAX_STREAMS)
    for task_uuid in [*remaining, *[None] * count]:
        wanted.put(task_uuid)
    for _ in range(count):
        threading.Thread(target=_follow, args=(follow, wanted, updates), daemon=True).start()
    left = len(remaining)
    while left:
        task_uuid, update = updates.get()
        if isinstance(update, _Defect):
            raise update.error
        left -= update is None
        yield task_uuid, update


@dataclass(frozen=True)
class _Defect:
    """An exception that is no UvrError, such as one of the output: it ends the command."""

    error: Exception


_Update = tuple[UUID, Task | UvrError | _Defect | None]


def _follow(follow: Follow, wanted: SimpleQueue[UUID | None], updates: SimpleQueue[_Update]) -> None:
    while (task_uuid := wanted.get()) is not None:
        try:
            for task in follow(task_uuid):
                updates.put((task_uuid, task))
        except UvrError as error:
            updates.put((task_uuid, error))
        except Exception as error:  # noqa: BLE001 (the loop's edge: the main thread raises it)
            updates.put((task_uuid, _Defect(error)))
        updates.put((task_uuid, None))
