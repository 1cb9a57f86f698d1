"""The questions about batches that a view answers."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from common.tasks.messages import State, Status, TaskBatch


class BatchView(Protocol):
    """The part of a TaskView that is about batches. Every coroutine raises ViewUnavailable."""

    async def find_batch(
        self, batch_uuid: UUID, patience_s: float | None = None, user: str | None = None
    ) -> TaskBatch | None:
        """As TaskView.find, of a batch. Its tasks may be read a moment later."""

    async def open_batches(self) -> list[TaskBatch]:
        """Return the batches whose `hook_url` is still to be called."""

    async def statuses(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, Status]:
        """Return the statuses of those of the tasks that the view knows, of 1,000 at most."""

    async def states(self, task_uuids: Sequence[UUID]) -> Mapping[UUID, State]:
        """As `statuses`, the states alone: a tenth of the work."""
