"""Keeps the uploaded songs of tasks that are to be queued next."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from api.problems import ProblemError
from api.publishing.publisher import NotSent
from api.uploads.claims import Claim
from api.uploads.gate import UploadGate
from common.failpoint import Failpoint
from common.tasks.messages import Task
from common.tasks.messages.task import upload_id_of

log = logging.getLogger(__name__)


class Songs:
    """Marks uploads as used. Used in one event loop at a time."""

    def __init__(self, uploads: UploadGate):
        self._uploads = uploads

    @asynccontextmanager
    async def kept(
        self, tasks: Sequence[Task], refuse: Callable[[int, ProblemError], None] | None = None
    ) -> AsyncIterator[Sequence[Task]]:
        """Yield the tasks with the names of their uploads' files. The uploads are kept for them from now on.

        Nothing is kept if one upload is refused, or the block raises NotSent. Tasks that are not queued for
        other reasons leave their marks to the sweep of the uploaders. Raise ProblemError about an upload;
        `refuse` gets its task's index first, and may raise another.
        """
        uploaded = {index: upload_id_of(task.audio) for index, task in enumerate(tasks)}
        wanted = [(index, upload_id) for index, upload_id in uploaded.items() if upload_id is not None]
        if not wanted:
            yield tasks
            return
        found = await asyncio.gather(
            *(self._claim(tasks[i], one) for i, one in wanted), return_exceptions=True
        )
        claims = [claim for claim in found if isinstance(claim, Claim)]
        ready = list(tasks)
        try:
            for (index, _), claim in zip(wanted, found, strict=True):
                if isinstance(claim, ProblemError) and refuse is not None:
                    refuse(index, claim)
                if isinstance(claim, BaseException):
                    raise claim
                ready[index] = tasks[index].model_copy(update={"file_name": claim.upload.file_name})
        except BaseException:
            await self._take_back(claims)
            raise
        try:
            yield ready
        except NotSent:
            await self._take_back(claims)
            raise

    async def _claim(self, task: Task, upload_id: UUID) -> Claim:
        user, task_uuid = task.user, task.task_uuid
        claim = await self._uploads.run(lambda store: store.claim(user, upload_id, task_uuid))
        Failpoint.API_UPLOAD_MARKED.reach()
        return claim

    async def _take_back(self, claims: Sequence[Claim]) -> None:
        # Shielded: at a stop of the api this request is cancelled, and the marks would stay for a week.
        await asyncio.shield(asyncio.gather(*map(self._take_one_back, claims)))

    async def _take_one_back(self, claim: Claim) -> None:
        try:
            await self._uploads.run(lambda store: store.take_back(claim))
        except ProblemError as error:  # the store is away: the uploaders' sweep removes the mark
            log.warning("upload %s stays marked as used for now: %s", claim.upload.upload_id, error)
