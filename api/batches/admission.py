"""Admits batches: each whole or not at all, once for each Idempotency-Key, and only if all of it has room."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from api.batches.parsing import ParsedBatch, refuse_item
from api.batches.records import records_of
from api.problems import ProblemError
from api.publishing.together import TogetherPublisher
from api.submit.admission import Admission, Admitted, KeyLocks
from api.view.task_view import TaskView, ViewUnavailable
from common.failpoint import Failpoint
from common.settings.schema import ApiSettings
from common.tasks.messages import Task, TaskBatch
from common.tasks.messages.task import upload_id_of

# How long to look for an earlier request. It need not be found: its tasks have the same ids.
_PATIENCE_S = 1.0
# A body of 4 MiB takes some 40 MiB while it is checked.
_MOST_OF_USER, _MOST = 2, 8


class BatchAdmission:
    """Admits batches, in one event loop. It refuses nothing while the view is not up to date."""

    def __init__(
        self,
        settings: ApiSettings,
        admission: Admission,
        publisher: TogetherPublisher,
        view: TaskView,
    ):
        self._settings, self._admission, self._publisher = settings, admission, publisher
        self._view = view
        self._key_locks = KeyLocks(settings.kafka_ack_timeout_s)
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def counted(self, user: str) -> Iterator[None]:
        """Count a batch that is read. Raise ProblemError 429 if too many are read already."""
        if self._under_way[user] >= _MOST_OF_USER or self._under_way.total() >= _MOST:
            raise ProblemError(
                429,
                "Too many batches are being submitted; please try again in a few seconds",
                error_code="too_many_batches",
                headers={"Retry-After": "2"},
            )
        self._under_way[user] += 1
        try:
            yield
        finally:
            self._under_way[user] -= 1
            self._under_way += Counter()  # drops counts of 0

    async def admit(self, batch: TaskBatch, tasks: Sequence[Task], parsed: ParsedBatch) -> Admitted:
        """Return once all `tasks` are safely queued. Raise ProblemError, PublisherUnavailable."""
        _check_each(tasks, self._admission.check_priority)
        if batch.idempotency_key is None:
            await self._publish_if_room(batch, tasks)
            return Admitted.NOW
        async with self._key_locks.take(batch.batch_uuid):
            try:
                first = await self._first(batch)
            except ViewUnavailable:
                # This may be a repeated request, which is never refused for lack of room.
                await self._publish(batch, tasks)
                return Admitted.NOW
            if first is None:
                await self._publish_if_room(batch, tasks)
                return Admitted.NOW
            look_closer = partial(self._has_same_songs, first, tasks, parsed)
            known = await self._view.statuses([task.task_uuid for task in tasks])
            if len(known) == len(tasks):
                self._admission.earlier.refuse_deleted(first, [*known.values()])
            await self._admission.earlier.compare(first, batch.submission_digest, look_closer)
            return Admitted.BEFORE

    async def _first(self, batch: TaskBatch) -> TaskBatch | None:
        if not self._view.is_current:
            raise ViewUnavailable
        return await self._view.find_batch(batch.batch_uuid, _PATIENCE_S)

    async def _has_same_songs(self, first: TaskBatch, tasks: Sequence[Task], parsed: ParsedBatch) -> bool:
        """Return whether both are the same but for the ids of uploaded songs. Raise ViewUnavailable."""
        mine = {task.task_uuid: task.audio for task in tasks}
        uploaded = [one for one, audio in mine.items() if upload_id_of(audio) is not None]
        if not uploaded or first.count != len(tasks):
            return False
        # The ids of the tasks follow from the batch's: those of the first batch are the same.
        known = await self._view.statuses(uploaded)
        if unread := [one for one in uploaded if one not in known]:
            await self._view.find(unread[0], _PATIENCE_S)  # waits until the view has read all of the batch
            known = await self._view.statuses(uploaded)
        songs = mine | {one: status.audio or "" for one, status in known.items()}
        if parsed.digest_with([*songs.values()]) != first.submission_digest:
            return False
        return await self._admission.earlier.are_same(first.user, [*mine.values()], [*songs.values()])

    async def _publish_if_room(self, batch: TaskBatch, tasks: Sequence[Task]) -> None:
        await self._admission.check_audio(batch.user)
        if self._view.is_current:
            _check_each(tasks, self._admission.check_choices)
            await self._admission.check_room(batch.user, len(tasks))
        # No `await` between the check and `enter`: other requests of a burst would find the same room.
        await self._publish(batch, tasks)

    async def _publish(self, batch: TaskBatch, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._view.backlog.enter(task.task_uuid, task.user)
        try:
            has_key = batch.idempotency_key is not None
            async with self._admission.songs.kept(tasks, has_key, refuse_item) as ready:
                await self._publisher.publish(records_of(batch, ready, self._settings))
        except BaseException:
            for task in tasks:
                self._view.backlog.leave(task.task_uuid)
            raise
        Failpoint.API_ACKNOWLEDGED.reach()


def _check_each(tasks: Sequence[Task], check: Callable[[Task], None]) -> None:
    """Raise ProblemError about the first task that `check` refuses."""
    for index, task in enumerate(tasks):
        try:
            check(task)
        except ProblemError as error:
            refuse_item(index, error)
