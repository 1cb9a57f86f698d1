"""Many tasks followed at once, each by a stream of its own."""

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from uuid import UUID

from uvr_client.errors import UvrError
from uvr_client.models import Task

_MAX_STREAMS = 64


Follow = Callable[[UUID], Iterator[Task]]


def follow_all(follow: Follow, task_uuids: Iterable[UUID]) -> Iterator[tuple[UUID, Task | UvrError | None]]:
    """Each status that `follow` gives of each task, and None after the last one or after an error.

    An error ends its own task's part alone. Of very many only some are followed at once, the first ones
    first. The threads are daemons: whoever stops waiting does not wait for them either.
    """
    wanted: SimpleQueue[UUID | None] = SimpleQueue()
    news: SimpleQueue[tuple[UUID, Task | UvrError | None]] = SimpleQueue()
    remaining = list(dict.fromkeys(task_uuids))
    count = min(len(remaining), _MAX_STREAMS)
    for task_uuid in [*remaining, *[None] * count]:
        wanted.put(task_uuid)
    for _ in range(count):
        threading.Thread(target=_follow, args=(follow, wanted, news), daemon=True).start()
    left = len(remaining)
    while left:
        task_uuid, told = news.get()
        left -= told is None
        yield task_uuid, told


def _follow(
    follow: Follow,
    wanted: SimpleQueue[UUID | None],
    news: SimpleQueue[tuple[UUID, Task | UvrError | None]],
) -> None:
    while (task_uuid := wanted.get()) is not None:
        try:
            for task in follow(task_uuid):
                news.put((task_uuid, task))
        except UvrError as error:
            news.put((task_uuid, error))
        finally:
            news.put((task_uuid, None))
