"""Finds batches whose tasks have all ended, and gives the order to call their `hook_url`.

Every api looks. An api waits for a random moment before it gives the order. It gives none once its view has
read that another one did. If two give it all the same, the uploaders send the same bytes under the same id.
The second order then finds that the first one was delivered. An api that dies leaves the order to the others,
or to its own next start: nothing but Kafka remembers it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from api.batches.records import records_of_end
from api.batches.states import count_states
from api.publishing.publisher import PublisherUnavailable
from api.publishing.together import TogetherPublisher
from api.view.task_view import TaskView, ViewUnavailable
from common.settings.schema import ApiSettings
from common.tasks.messages import BatchCallback, BatchEnded, EndedTask, State, Status, TaskBatch, item_uuids

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_LONGEST_PAUSE_S = 3.0
# Tasks that are looked at together. All that are before the first one that has not ended have ended.
_AT_ONCE = 100


@dataclass
class _Seen:
    """`ended` tasks, from the first one on, have ended. The order is given from `due_s` on."""

    ended: int = 0
    due_s: float | None = None


class BatchEnds:
    """Runs in the api's event loop. `clock` is monotonic, `wall_clock` in seconds since the epoch."""

    def __init__(
        self,
        settings: ApiSettings,
        view: TaskView,
        publisher: TogetherPublisher,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause_s: Callable[[], float] = lambda: random.uniform(0, _LONGEST_PAUSE_S),
    ):
        self._settings, self._view, self._publisher = settings, view, publisher
        self._clock, self._wall_clock, self._pause_s = clock, wall_clock, pause_s
        self._seen: dict[UUID, _Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.look()
            except ViewUnavailable as error:
                log.debug("batches are not looked at: %s", error)
            except Exception:  # the loop's edge: the next look makes up for this one
                log.exception("batches could not be looked at")

    async def look(self) -> None:
        """Give the order for each batch that is over. Raise ViewUnavailable."""
        if not self._view.is_current:
            return
        batches = await self._view.open_batches()
        ids = {batch.batch_uuid for batch in batches}
        self._seen = {batch_uuid: seen for batch_uuid, seen in self._seen.items() if batch_uuid in ids}
        for batch in batches:
            seen = self._seen.setdefault(batch.batch_uuid, _Seen())
            if await self._is_over(batch, seen) and self._is_due(seen):
                await self._order(batch)
                # Until the view has read the order. After a crash between both, another look repeats it.
                seen.due_s = self._clock() + 10 * _LONGEST_PAUSE_S

    async def _is_over(self, batch: TaskBatch, seen: _Seen) -> bool:
        while seen.ended < batch.count:
            ids = item_uuids(batch.batch_uuid, seen.ended, min(batch.count, seen.ended + _AT_ONCE))
            known = await self._view.states(ids)
            for task_uuid in ids:
                if not known.get(task_uuid, State.QUEUED).is_final:
                    return False
                seen.ended += 1
        return True

    def _is_due(self, seen: _Seen) -> bool:
        if seen.due_s is None:
            seen.due_s = self._clock() + self._pause_s()
        return self._clock() >= seen.due_s

    async def _order(self, batch: TaskBatch) -> None:
        ids = item_uuids(batch.batch_uuid, 0, batch.count)
        callback = callback_of(batch, await self._view.statuses(ids))
        if callback is None or batch.hook_url is None:
            return
        now_s = self._wall_clock()
        ended = BatchEnded(
            batch_uuid=batch.batch_uuid,
            hook_url=batch.hook_url,
            requested_at=now_s,
            user=batch.user,
            request_id=batch.request_id,
            callback=callback,
        )
        closed = batch.model_copy(update={"ended_at": now_s})
        try:
            await self._publisher.publish(records_of_end(closed, ended, self._settings))
        except PublisherUnavailable as error:
            log.warning("batch %s has ended, and its callback is not ordered: %s", batch.batch_uuid, error)
            return
        log.info("batch %s has ended: its callback is ordered", batch.batch_uuid)


def callback_of(batch: TaskBatch, found: Mapping[UUID, Status]) -> BatchCallback | None:
    """Return the callback's body; None if a task has begun another run meanwhile."""
    ids = item_uuids(batch.batch_uuid, 0, batch.count)
    statuses = [found[task_uuid] for task_uuid in ids if task_uuid in found]
    if len(statuses) < batch.count or not all(status.state.is_final for status in statuses):
        return None
    return BatchCallback(
        batch_uuid=batch.batch_uuid,
        timestamp=max(status.times.get(status.state, status.at) for status in statuses),
        states=count_states(batch, {one: status.state for one, status in found.items()}),
        tasks=tuple(
            EndedTask(task_uuid=s.task_uuid, state=s.state, error_code=_failure_code(s)) for s in statuses
        ),
        metadata=batch.metadata,
    )


def _failure_code(status: Status) -> str | None:
    """Return why the task has no stems. A success whose callback failed has an `error_code` too."""
    return None if status.state is State.SUCCEEDED else status.error_code
