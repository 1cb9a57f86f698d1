"""Compares a submission with the earlier one of the same Idempotency-Key.

The same file has another id each time that it is uploaded. So two uploads count as the same song if the
sha256 of both is known and equal.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.metrics import ApiMetrics, TaskRefusal
from api.problems import ProblemError
from api.uploads.gate import UploadGate
from common.tasks.messages import Status, TaskBatch
from common.tasks.messages.task import upload_id_of

if TYPE_CHECKING:
    from api.uploads.store import UploadStore


class EarlierSubmissions:
    """Refuses a key that belongs to another submission. Used in one event loop at a time."""

    def __init__(self, uploads: UploadGate, metrics: ApiMetrics):
        self._uploads, self._metrics = uploads, metrics

    async def compare(
        self,
        first: Status | TaskBatch,
        digest: str | None,
        has_same_songs: Callable[[], Awaitable[bool]],
    ) -> None:
        """Raise ProblemError 409 if `first` was submitted with another body than that of `digest`.

        `has_same_songs` looks closer where the digests differ: they do for a file that was uploaded again.
        Tasks of an earlier version have no digest to compare. Of a deleted task nothing is left to compare
        with, and it gives no stems to whoever repeats it: raise for it, too.
        """
        if isinstance(first, Status):
            self.refuse_deleted(first, [first])
        if first.submission_digest in (None, digest) or await has_same_songs():
            return
        raise self._refusal(first, "which was submitted with another body")

    def refuse_deleted(self, first: Status | TaskBatch, tasks: Sequence[Status]) -> None:
        """Raise ProblemError 409 if nothing is left of the `tasks` of `first`: nothing comes of a repeat."""
        if tasks and all(task.deleted_at is not None for task in tasks):
            raise self._refusal(first, "whose results are deleted, and with them what was submitted")

    def _refusal(self, first: Status | TaskBatch, which: str) -> ProblemError:
        self._metrics.task_refused(TaskRefusal.KEY_REUSED)
        kind, known = ("task", first.task_uuid) if isinstance(first, Status) else ("batch", first.batch_uuid)
        about: dict[str, Any] = {f"{kind}_uuid": known}
        words = f"This Idempotency-Key belongs to {kind} {known}, {which}: use a new key"
        return ProblemError(409, words, error_code=TaskRefusal.KEY_REUSED, **about)

    async def sha256_of(self, user: str, audio: str) -> str | None:
        """Return the checksum of an upload; None for an address, and where it is unknown or gone.

        Raise ProblemError 503 while the store cannot be asked.
        """
        upload_id = upload_id_of(audio)
        return None if upload_id is None else await self._uploads.run(_sha256(user, upload_id))

    async def are_same(self, user: str, songs: Sequence[str], others: Sequence[str]) -> bool:
        """Return whether each song is the same as the other at its place. Raise as `sha256_of`."""
        pairs = [pair for pair in zip(songs, others, strict=True) if pair[0] != pair[1]]
        uploads = [upload_id_of(song) for pair in pairs for song in pair]
        asked = [_sha256(user, one) for one in uploads if one is not None]
        if len(asked) < len(uploads):
            return False
        found = await self._uploads.run_all(asked)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed
        return None not in found and found[::2] == found[1::2]


def _sha256(user: str, upload_id: UUID) -> "Callable[[UploadStore], str | None]":
    def read(store: "UploadStore") -> str | None:
        upload = store.uploads.find(user, upload_id)
        return None if upload is None else upload.sha256

    return read
