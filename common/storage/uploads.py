"""Uploaded songs: what the bucket holds of each, who still needs it, and how it goes.

An upload is a record `upload.json`, written first, and the song `audio` beside it. Each task that needs the
song has a mark `tasks/{task_uuid}`: the api writes it before the task goes to Kafka, and the uploader removes
it once the run is over for good. The api takes the mark back if it has not sent the task for certain. Other
marks of tasks that never came to Kafka are removed by age.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from common.storage.bucket import Bucket, ObjectSeen
from common.storage.bucket_keys import UploadKeys
from common.storage.upload_record import Upload

log = logging.getLogger(__name__)


class Uploads:
    """The uploads in a bucket. Thread-safe. The client's errors (BotoCoreError, ClientError) pass."""

    def __init__(self, bucket: Bucket, prefix: str):
        """`prefix` is S3_PREFIX."""
        self.bucket, self.prefix = bucket, prefix

    def keys(self, user: str, upload_id: UUID) -> UploadKeys:
        return UploadKeys(self.prefix, user, upload_id)

    def find(self, user: str, upload_id: UUID) -> Upload | None:
        """Returns the user's upload, None if there is none. The song need not be there yet."""
        return self._read(self.keys(user, upload_id).record)

    def read(self, key: str) -> Upload | None:
        """Returns the upload whose record is at `key`; None if there is none, or it is another's."""
        upload = self._read(key)
        return upload if upload and upload.keys(self.prefix).record == key else None

    def save(self, upload: Upload) -> None:
        """Writes the record, and replaces an earlier one."""
        self.bucket.put(upload.keys(self.prefix).record, upload.model_dump_json(exclude_none=True).encode())

    def song(self, upload: Upload) -> ObjectSeen | None:
        """Returns the size and time of the stored song, None if it is not complete."""
        return self.bucket.seen(upload.keys(self.prefix).audio)

    def open(self, upload: Upload) -> Any:
        """Returns the song as a body to be read in pieces and closed, None if it is not complete."""
        return self.bucket.stream(upload.keys(self.prefix).audio)

    def mark(self, upload: Upload, task_uuid: UUID) -> None:
        """Keeps the song for the task."""
        self.bucket.put(upload.keys(self.prefix).use(task_uuid), b"")

    def unmark(self, keys: UploadKeys, task_uuid: UUID) -> None:
        """Removes the task's mark, of a task that never came to Kafka or is deleted."""
        self.bucket.remove([keys.use(task_uuid)])

    def users(self, upload: Upload) -> Sequence[UUID]:
        """Returns the tasks that have marks."""
        prefix = upload.keys(self.prefix).directory + "tasks/"
        return [UUID(found.key.removeprefix(prefix)) for found in self.bucket.objects(prefix)]

    def release(self, user: str, upload_id: UUID, task_uuid: UUID, expires_at: float) -> None:
        """Removes the mark of a task that is over. The song then stays until `expires_at` at least.

        `expires_at` is in seconds since the epoch. The record is written before the mark goes: whoever is
        killed in between leaves a mark, which the sweep removes, and no song that expires too early.
        """
        mark = self.keys(user, upload_id).use(task_uuid)
        if self.bucket.seen(mark) is None:
            return
        upload = self.find(user, upload_id)
        if upload is not None and upload.expires_at < expires_at:
            self.save(upload.model_copy(update={"expires_at": expires_at}))
        self.bucket.remove([mark])

    def remove_unless_used(self, keys: UploadKeys) -> bool:
        """Removes the upload, and its unfinished parts. Returns False if a task has a mark.

        The record goes first. An api that adds a mark looks for the record again afterwards. So either the
        mark is seen here, and the record is written again, or that api finds no upload and queues no task.
        """
        if self._is_used(keys):
            return False
        record = self.bucket.get(keys.record)
        self.bucket.remove([keys.record])
        if self._is_used(keys):
            if record is not None:
                self.bucket.put(keys.record, record)
            return False
        upload = self._parsed(record, keys.record)
        if upload is not None and upload.multipart_id:
            self.bucket.multipart.abort(keys.audio, upload.multipart_id)
        self.bucket.remove([found.key for found in self.bucket.objects(keys.directory)])
        return True

    def _is_used(self, keys: UploadKeys) -> bool:
        return any(True for _ in self.bucket.objects(f"{keys.directory}tasks/"))

    def _read(self, key: str) -> Upload | None:
        return self._parsed(self.bucket.get(key), key)

    def _parsed(self, body: bytes | None, key: str) -> Upload | None:
        if body is None:
            return None
        try:
            return Upload.model_validate_json(body)
        except ValidationError:
            log.warning("%s is no record of an upload", key)
            return None
