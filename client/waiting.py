"""Many tasks followed at once, each by a stream of its own."""

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from uuid import UUID

from client.errors import UvrError
from client.models import Task
from client.uvr_client import UvrClient

_MAX_STREAMS = 64


def follow_all(client: UvrClient, task_uuids: Iterable[UUID]) -> Iterator[tuple[UUID, Task | UvrError]]:
    """Each status of each task until all are over; an error ends its own task's part alone.

    Of very many only some are followed at once, the first ones first. The threads are daemons: whoever
    stops waiting does not wait for them either.
    """
    wanted: SimpleQueue[UUID | None] = SimpleQueue()
    news: SimpleQueue[tuple[UUID, Task | UvrError | None]] = SimpleQueue()
    remaining = list(dict.fromkeys(task_uuids))
    count = min(len(remaining), _MAX_STREAMS)
    for task_uuid in [*remaining, *[None] * count]:
        wanted.put(task_uuid)
    for _ in range(count):
        threading.Thread(target=_follow, args=(client, wanted, news), daemon=True).start()
    left = len(remaining)
    while left:
        task_uuid, told = news.get()
        if told is None:
            left -= 1
        else:
            yield task_uuid, told


def _follow(
    client: UvrClient,
    wanted: SimpleQueue[UUID | None],
    news: SimpleQueue[tuple[UUID, Task | UvrError | None]],
) -> None:
    while (task_uuid := wanted.get()) is not None:
        try:
            for event in client.events(task_uuid):
                news.put((task_uuid, event.task))
        except UvrError as error:
            news.put((task_uuid, error))
        finally:
            news.put((task_uuid, None))
