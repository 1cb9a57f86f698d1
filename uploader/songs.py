"""Keeps uploaded songs while tasks need them, and removes them afterwards."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError

from common.storage.bucket import ObjectSeen
from common.storage.bucket_keys import ALL_UPLOADS
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads
from common.tasks.messages import Separated, SeparationFailed
from common.tasks.messages.task import upload_id_of

log = logging.getLogger(__name__)

# An api takes an upload until it expires, and then needs seconds to mark it. Clocks differ, too.
_GRACE_S = 600.0


class SongKeeper:
    """Removes use marks, and uploads that have expired. Thread-safe; several uploaders may sweep at once."""

    def __init__(
        self, uploads: Uploads, retention_s: float, mark_kept_for_s: float, wall_clock: Callable[[], float]
    ):
        """An upload stays for `retention_s` after its last task.

        `mark_kept_for_s`: no task is longer in Kafka. `wall_clock` gives seconds since the epoch.
        """
        self._uploads, self._retention_s = uploads, retention_s
        self._mark_kept_for_s, self._wall_clock = mark_kept_for_s, wall_clock

    def release(self, result: Separated | SeparationFailed) -> None:
        """Removes the mark of a run that is over. A mark that cannot be removed is left to the sweep."""
        try:
            upload_id = upload_id_of(result.audio or "")
        except ValueError:
            return
        if upload_id is None:
            return
        try:
            self._release(result.user, upload_id, result.task_uuid)
        except (BotoCoreError, ClientError) as error:
            log.warning("upload %s stays marked as used for now: %s", upload_id, error)

    def sweep(self) -> int:
        """Removes what nobody needs below uploads/. Returns the number of removed uploads.

        Raises BotoCoreError and ClientError.
        """
        now_s = self._wall_clock()
        prefix = self._uploads.prefix + ALL_UPLOADS
        begun_before_s = now_s - self._retention_s - _GRACE_S
        self._uploads.bucket.multipart.abort_older(prefix, lambda key: key.startswith(prefix), begun_before_s)
        return sum(self._sweep_one(found, now_s) for found in self._directories(prefix))

    def _directories(self, prefix: str) -> Iterator[Sequence[ObjectSeen]]:
        """Yields the objects of each upload. A listing is in the order of the keys."""

        def directory(found: ObjectSeen) -> Sequence[str]:
            return found.key.removeprefix(prefix).split("/")[:2]

        found: Iterable[ObjectSeen] = self._uploads.bucket.objects(prefix)
        for _, group in groupby(found, key=directory):
            yield tuple(group)

    def _sweep_one(self, found: Sequence[ObjectSeen], now_s: float) -> bool:
        records = [one.key for one in found if one.key.endswith("/upload.json")]
        upload = self._uploads.read(records[0]) if records else None
        if upload is None:
            # A presigned URL outlives its upload: whoever uses it then leaves a song without a record.
            return self._remove_strays(found, now_s)
        for mark in found:
            _, is_mark, task_uuid = mark.key.partition(f"/{upload.upload_id}/tasks/")
            if is_mark:
                self._sweep_mark(upload, UUID(task_uuid), mark, now_s)
        if now_s < upload.expires_at + _GRACE_S:
            return False
        # Read again: a mark that has just gone has made it expire later.
        upload = self._uploads.read(records[0])
        if upload is None or now_s < upload.expires_at + _GRACE_S:
            return False
        return self._uploads.remove_unless_used(upload.keys(self._uploads.prefix))

    def _sweep_mark(self, upload: Upload, task_uuid: UUID, mark: ObjectSeen, now_s: float) -> None:
        """Removes the mark of a task that is over, or never came to Kafka."""
        if mark.modified_s < now_s - self._mark_kept_for_s or self._is_over(task_uuid):
            log.info("task %s no longer needs upload %s", task_uuid, upload.upload_id)
            self._release(upload.user, upload.upload_id, task_uuid)

    def _is_over(self, task_uuid: UUID) -> bool:
        """Returns True if a run of the task has its manifest, which is written when a run ends."""
        results = self._uploads.bucket.objects(f"{self._uploads.prefix}{task_uuid}/")
        return any(found.key.endswith("/manifest.json") for found in results)

    def _release(self, user: str, upload_id: UUID, task_uuid: UUID) -> None:
        self._uploads.release(user, upload_id, task_uuid, self._wall_clock() + self._retention_s)

    def _remove_strays(self, found: Sequence[ObjectSeen], now_s: float) -> bool:
        if any(now_s < one.modified_s + self._retention_s + _GRACE_S for one in found):
            return False
        self._uploads.bucket.remove(one.key for one in found)
        return True
