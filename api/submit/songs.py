"""Keeps the uploaded songs of tasks that are to be queued next."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from api.problems import ProblemError
from api.publishing.publisher import NotSent
from api.uploads.gate import UploadGate
from common.failpoint import Failpoint
from common.storage.upload_record import Upload
from common.tasks.messages import Task
from common.tasks.messages.task import upload_id_of

if TYPE_CHECKING:
    from api.uploads.store import UploadStore

log = logging.getLogger(__name__)


class Songs:
    """Marks uploads as used. Used in one event loop at a time."""

    def __init__(self, uploads: UploadGate):
        self._uploads = uploads

    @asynccontextmanager
    async def kept(
        self,
        tasks: Sequence[Task],
        has_key: bool,
        refuse: Callable[[int, ProblemError], None] | None = None,
    ) -> AsyncIterator[Sequence[Task]]:
        """Yield the tasks with the names of their uploads' files. The uploads are kept for them from now on.

        Nothing is kept if one upload is refused, or the block raises NotSent, unless the request `has_key`:
        by its Idempotency-Key another api may have queued the same tasks, and its repeat will. These marks,
        and those of tasks that are not queued for other reasons, are left to the sweep of the uploaders.
        Raise ProblemError about an upload; `refuse` gets its task's index first, and may raise another.
        """
        uploaded = {index: upload_id_of(task.audio) for index, task in enumerate(tasks)}
        wanted = [(index, upload_id) for index, upload_id in uploaded.items() if upload_id is not None]
        if not wanted:
            yield tasks
            return
        found = await self._uploads.run_all([_claim(tasks[i], one) for i, one in wanted])
        marked = [
            (upload, tasks[index].task_uuid)
            for (index, _), upload in zip(wanted, found, strict=True)
            if isinstance(upload, Upload) and not has_key
        ]
        ready = list(tasks)
        try:
            for (index, _), upload in zip(wanted, found, strict=True):
                if isinstance(upload, ProblemError) and refuse is not None:
                    refuse(index, upload)
                if isinstance(upload, BaseException):
                    raise upload
                ready[index] = tasks[index].model_copy(update={"file_name": upload.file_name})
        except BaseException:
            await self._take_back(marked)
            raise
        try:
            yield ready
        except NotSent:
            await self._take_back(marked)
            raise

    async def _take_back(self, marked: Sequence[tuple[Upload, UUID]]) -> None:
        # Shielded: at a stop of the api this request is cancelled, and the marks would stay for a week.
        await asyncio.shield(self._take_all_back(marked))

    async def _take_all_back(self, marked: Sequence[tuple[Upload, UUID]]) -> None:
        taken = await self._uploads.run_all([_taken_back(*mark) for mark in marked], tries_each=True)
        for (upload, _), error in zip(marked, taken, strict=True):
            if isinstance(error, ProblemError):  # the store is away: the uploaders' sweep removes the mark
                log.warning("upload %s stays marked as used for now: %s", upload.upload_id, error)
            elif error is not None:
                raise error


def _claim(task: Task, upload_id: UUID) -> "Callable[[UploadStore], Upload]":
    def claim(store: "UploadStore") -> Upload:
        upload = store.claim(task.user, upload_id, task.task_uuid)
        Failpoint.API_UPLOAD_MARKED.reach()
        return upload

    return claim


def _taken_back(upload: Upload, task_uuid: UUID) -> "Callable[[UploadStore], None]":
    return lambda store: store.take_back(upload, task_uuid)
