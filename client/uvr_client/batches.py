"""Has the calls about batches: many songs in one request, which the api takes whole or not at all."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from uvr_client import answers
from uvr_client.batch_models import Batch, BatchSubmission
from uvr_client.errors import BadRequest
from uvr_client.parts import Progress
from uvr_client.songs import SongSender, file_of
from uvr_client.task_path import task_id
from uvr_client.transport import Repeat, Transport
from uvr_client.uploads import CallUploads

# The api accepts these keys, and they are valid as the value of a header.
_KEY = re.compile(r"[!-~]{1,255}")


def checked_key(given: str | None) -> str:
    """Returns the key, a new one for None. Raises BadRequest for a key that no header can hold."""
    key = given if given is not None else str(uuid4())
    if not _KEY.fullmatch(key):
        raise BadRequest(400, "Idempotency-Key: expected 1 to 255 visible ASCII characters")
    return key


class BatchCalls:
    """The part of UvrClient that deals with batches."""

    _transport: Transport
    _songs: SongSender

    def submit_batch(
        self,
        items: Sequence[Mapping[str, Any]],
        defaults: Mapping[str, Any] | None = None,
        hook_url: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        on_progress: Progress = lambda sent_bytes, size_bytes: None,
    ) -> BatchSubmission:
        """Queues up to 1,000 songs, all or none. The answer has their tasks in the order of `items`.

        An item has the fields of the api's `POST /generate`; `defaults` are for items that lack a field. An
        item's `audio` may be a file's path: such files are uploaded first, one after another, and
        `on_progress` is called meanwhile. `hook_url` is called once, when all tasks have ended.
        Raises BadRequest, whose text names the first wrong item, and what `UvrClient.submit` raises. What was
        uploaded is removed again unless the batch may have been queued.
        """
        key = checked_key(idempotency_key)
        given = {"defaults": defaults, "hook_url": hook_url, "metadata": metadata}
        chosen = {name: value for name, value in given.items() if value is not None}
        with CallUploads(self._transport) as uploads:
            sent = [self._with_upload(item, uploads, on_progress) for item in items]
            queued = uploads.submit(BatchSubmission, "/batches", {"items": sent, **chosen}, key)
        return queued.model_copy(update={"idempotency_key": key})

    def batch(self, batch_uuid: UUID | str, offset: int = 0, limit: int = 100) -> Batch:
        """Returns the batch with the number of tasks in each state, and `limit` tasks from `offset` on.

        Raises NotFound.
        """
        path = f"/batches/{task_id(batch_uuid)}?offset={offset}&limit={limit}"
        return answers.read(Batch, self._transport.request("GET", path, Repeat.ANY).content)

    def cancel_batch(self, batch_uuid: UUID | str) -> Batch:
        """Asks the api to stop all tasks that have not ended. Raises NotFound; Conflict if all have ended."""
        path = f"/batches/{task_id(batch_uuid)}/cancel"
        return answers.read(Batch, self._transport.request("POST", path, Repeat.ANY).content)

    def redeliver_batch(self, batch_uuid: UUID | str) -> Batch:
        """Asks the api to send the callback of an ended batch again. Not retried after a lost answer.

        Raises NotFound; Conflict if the batch or a task of it has not ended, or it has no `hook_url`.
        """
        path = f"/batches/{task_id(batch_uuid)}/redeliver"
        return answers.read(Batch, self._transport.request("POST", path, Repeat.UNSENT).content)

    def _with_upload(
        self, item: Mapping[str, Any], uploads: CallUploads, on_progress: Progress
    ) -> dict[str, Any]:
        audio = item.get("audio")
        path = file_of(audio) if isinstance(audio, str | Path) else None
        return (
            dict(item) if path is None else {**item, "audio": self._songs.upload(path, uploads, on_progress)}
        )
