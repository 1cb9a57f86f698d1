"""Deletes the results of a task that is over: stems, manifests, and an upload that nobody else uses."""

import logging
from collections.abc import Callable, Iterator
from itertools import product
from urllib.parse import unquote, urlsplit
from uuid import UUID

from common.errors import ErrorCode, PermanentError
from common.failpoint import Failpoint
from common.jobs.handler import JobContext
from common.jobs.outcome import Done
from common.kafka.records import Message
from common.storage import bucket_keys
from common.storage.bucket import ObjectSeen
from common.storage.bucket_keys import RunKeys, UploadKeys
from common.storage.storage_errors import job_errors
from common.storage.uploads import Uploads
from common.tasks.messages import Deletion, Status
from common.tasks.messages.manifest import Tombstone, as_cache_entry, as_tombstone
from common.tasks.messages.task import upload_id_of
from uploader.storage import CACHE_DIGEST, USER, Storage

log = logging.getLogger(__name__)


class Deleter:
    """Deletes. Each step can be done again: a killed uploader's deletion is begun anew and ends the same."""

    def __init__(self, s3_prefix: str, storage: Storage, status_topic: str, wall_clock: Callable[[], float]):
        """`wall_clock` gives seconds since the epoch."""
        self._prefix, self._storage, self._bucket = s3_prefix, storage, storage.bucket
        self._uploads = Uploads(storage.bucket, s3_prefix)
        self._status_topic, self._wall_clock = status_topic, wall_clock

    def run(self, deletion: Deletion, context: JobContext) -> Done:
        """Deletes the runs up to the deletion's own. Raises JobError (storage_error) and what `check` raises.

        A PermanentError is raised where the stems are in another bucket, or may be: nothing is deleted then.

        Where a later run has results, they stay, and the task's status stays that run's.
        """
        with job_errors("delete"):
            prefixes = self._prefixes(deletion)
            # What leads to stems goes before the stems: cache entries, then manifests, then what they name. A
            # reader of a manifest finds its stems. And an uploader that has a late result of the run finds a
            # tombstone where its manifest was to be.
            deleted_at = self._bury(deletion, prefixes, context)
            is_last = self._remove_objects(deletion, prefixes, context)
            for prefix in prefixes:
                self._remove_upload(deletion, prefix)
        Failpoint.RESULTS_DELETED.reach()
        log.info("deleted the results up to run %d", deletion.run)
        return Done(self._statuses(deletion, deleted_at) if is_last else ())

    def _prefixes(self, deletion: Deletion) -> tuple[str, ...]:
        """Returns the prefix that the stems have by their link, and the present one, which may be another."""
        if deletion.stem_url is None:
            return (self._prefix,)
        url, task_uuid = deletion.stem_url, deletion.task_uuid
        is_here, prefix = self._storage.leads_here(url), self._storage.prefix(url, task_uuid)
        prefixes = (self._prefix,) if prefix is None else tuple(dict.fromkeys((prefix, self._prefix)))
        manifests = [RunKeys(one, task_uuid, deletion.run).manifest for one in prefixes]
        # Else the store may have got another name, or the bucket was copied. Then a manifest is here, or the
        # tombstone of an earlier try.
        if (is_here and prefix is not None) or any(map(self._bucket.seen, manifests)):
            return prefixes
        host = urlsplit(url).netloc
        why = f"leads to another bucket at {host}" if is_here else f"is of {host}, which no S3 setting names"
        raise PermanentError(
            ErrorCode.STORAGE_ERROR,
            f"The stems are not deleted: their link {why}, and the bucket {self._bucket.name} has no "
            f"manifest of them at {' or '.join(manifests)}. Give an uploader the S3 settings of that time, "
            "S3_PUBLIC_DOMAIN among them, and replay this letter",
        )

    def _bury(self, deletion: Deletion, prefixes: tuple[str, ...], context: JobContext) -> float:
        """Puts tombstones in the place of the manifests. Returns when the last run was first deleted.

        A run without a manifest gets a tombstone, too. The time is in seconds since the epoch.
        """
        deleted_at = self._wall_clock()
        for run, prefix in product(range(1, deletion.run + 1), prefixes):
            context.check()
            key = RunKeys(prefix, deletion.task_uuid, run).manifest
            earlier = as_tombstone(self._bucket.get(key))
            if earlier is None:
                self._forget_in_cache(deletion.task_uuid, prefix, key)
                body = Tombstone(deleted_at=round(deleted_at, 3)).to_bytes()
                self._bucket.put(key, body, {"ContentType": "application/json"})
            else:
                deleted_at = earlier.deleted_at
        return round(deleted_at, 3)

    def _forget_in_cache(self, task_uuid: UUID, prefix: str, manifest: str) -> None:
        """Removes the cache entry of the manifest's song, if the entry names this task."""
        about = self._bucket.metadata(manifest)
        digest = about.get(CACHE_DIGEST)
        if digest is None:
            return
        key = bucket_keys.cached(prefix, unquote(about.get(USER, "")), digest)
        entry = as_cache_entry(self._bucket.get(key))
        if entry is not None and entry.task_uuid == task_uuid:
            self._bucket.remove([key])

    def _remove_objects(self, deletion: Deletion, prefixes: tuple[str, ...], context: JobContext) -> bool:
        """Removes all but the tombstones. Returns whether no later run has any object."""
        is_last = True
        for prefix, run, found in self._objects(deletion.task_uuid, prefixes):
            context.check()
            if run > deletion.run:
                is_last = False
            elif found.key != RunKeys(prefix, deletion.task_uuid, run).manifest:
                self._bucket.remove([found.key])
                Failpoint.STEM_DELETED.reach()
        return is_last

    def _objects(self, task_uuid: UUID, prefixes: tuple[str, ...]) -> Iterator[tuple[str, int, ObjectSeen]]:
        """Yields the task's objects, each with its prefix and its run."""
        for prefix in prefixes:
            directory = f"{prefix}{task_uuid}/"
            for found in self._bucket.objects(directory):
                run = found.key.removeprefix(directory).partition("/")[0]
                if run.isascii() and run.isdigit():
                    yield prefix, int(run), found

    def _remove_upload(self, deletion: Deletion, prefix: str) -> None:
        """Removes the task's upload unless another task still uses the upload."""
        keys = self._upload_of(deletion, prefix)
        if keys is None:
            return
        self._uploads.unmark(keys, deletion.task_uuid)
        if self._uploads.remove_unless_used(keys):
            log.info("removed the upload %s", keys.upload_id)

    def _upload_of(self, deletion: Deletion, prefix: str) -> UploadKeys | None:
        try:
            upload_id = upload_id_of(deletion.audio or "")
        except ValueError:
            return None
        return UploadKeys(prefix, deletion.owner, upload_id) if upload_id else None

    def _statuses(self, deletion: Deletion, deleted_at: float) -> tuple[Message, ...]:
        """Returns the status that replaces all that `uvr_status` knows of the task."""
        requested_at = deletion.requested_at
        status = Status(
            task_uuid=deletion.task_uuid,
            run=deletion.run,
            user=deletion.owner,
            submitted_at=requested_at if deletion.submitted_at is None else deletion.submitted_at,
            state=deletion.state,
            at=deleted_at,
            times=deletion.times,
            deleted_at=deleted_at,
            model=deletion.model,
            audio_s=deletion.audio_s,
            engine_s=deletion.engine_s,
        ).to_bytes()
        # Under the key of its progress, too: compaction keeps the last record of each key, and that of the
        # progress has the song's address, the label and the metadata.
        keys = (f"{deletion.task_uuid}", f"{deletion.task_uuid}/progress")
        return tuple(Message(self._status_topic, key.encode(), status) for key in keys)
