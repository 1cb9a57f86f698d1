"""Publishes a result: its stems and its manifest, which is the callback's body, go to the store."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from common.errors import UNWANTED
from common.failpoint import Failpoint
from common.jobs.handler import JobContext
from common.storage.bucket_keys import RunKeys
from common.storage.stage_interface import Stage
from common.tasks.cancels import Cancels
from common.tasks.job_status import JobStatus
from common.tasks.messages import Separated, SeparationFailed, State
from common.tasks.messages.manifest import as_tombstone
from uploader import cached, callback, stems
from uploader.keyed_locks import KeyedLocks
from uploader.metrics import Phase, UploaderMetrics
from uploader.places import run_id
from uploader.songs import SongKeeper
from uploader.storage import Storage, about

log = logging.getLogger(__name__)


class Publisher:
    """Publishes each run once. Thread-safe."""

    def __init__(
        self,
        s3_prefix: str,
        storage: Storage,
        stage: Stage,
        cancels: Cancels,
        metrics: UploaderMetrics,
        wall_clock: Callable[[], float],
        songs: SongKeeper | None = None,
    ):
        """`wall_clock` gives seconds since the epoch."""
        self._prefix, self._storage, self._stage, self._songs = s3_prefix, storage, stage, songs
        self._cancels, self._metrics, self._wall_clock = cancels, metrics, wall_clock
        self._locks = KeyedLocks()

    def publish(
        self,
        result: Separated | SeparationFailed,
        is_reported: bool,
        context: JobContext,
        status: JobStatus,
    ) -> bytes:
        """Returns the callback's body once the body and all that it names are in the store.

        Returns the tombstone of a run whose results are deleted, and publishes nothing then. `is_reported`:
        an earlier try of the callback has reported the run's end already. Raises JobError, StemsGone, and
        Cancelled when the job must stop.
        """
        # A repeated Idempotency-Key can bring two results of one run side by side. Were both uploaded, one's
        # manifest could name the checksums of stems that the other has just overwritten.
        with self._locks.hold(run_id(result), context):
            keys = RunKeys(self._prefix, result.task_uuid, result.run)
            body = self._storage.get_manifest(keys.manifest)
            if body is None:
                body = self._publish(result, keys, self._stoppable(result, is_reported, context), status)
            else:
                log.info("published before: the callback goes out as it was")
            Failpoint.MANIFEST_WRITTEN.reach()
            self._tidy(result, keys, is_reported, body)
            return body

    def _publish(
        self,
        result: Separated | SeparationFailed,
        keys: RunKeys,
        stoppable: AbstractContextManager[JobContext],
        status: JobStatus,
    ) -> bytes:
        """Returns the manifest that the store then holds: another uploader's, if that was first."""
        with stoppable as context:
            body = self._body(result, keys, context, status)
            context.check()
        Failpoint.UPLOADED.reach()
        return self._storage.put_manifest(keys.manifest, body, about(result))

    def _stoppable(
        self, result: Separated | SeparationFailed, is_reported: bool, context: JobContext
    ) -> AbstractContextManager[JobContext]:
        """Lets a cancel or a deadline end the run, unless the run has failed or its success was reported."""
        if isinstance(result, SeparationFailed) or is_reported:
            return nullcontext(context)
        return self._cancels.stoppable(result, context)

    def _body(
        self,
        result: Separated | SeparationFailed,
        keys: RunKeys,
        context: JobContext,
        status: JobStatus,
    ) -> bytes:
        """Uploads or copies the stems that the body names, and returns the body. Raises StemsGone."""
        if isinstance(result, SeparationFailed):
            return callback.failure_body(result)
        if result.cached_from is not None:
            links = cached.copy_stems(result, keys, self._storage, context.check)
            return callback.success_body(result, links, self._wall_clock())
        status.enter(State.UPLOADING)
        with self._metrics.worker.timed(Phase.UPLOAD):
            links = stems.publish(result, keys, self._stage, self._storage, context.check, status.advance)
            stems.publish_peaks(result, keys, self._stage, self._storage, context.check)
        return callback.success_body(result, links, self._wall_clock())

    def _tidy(
        self, result: Separated | SeparationFailed, keys: RunKeys, is_reported: bool, body: bytes
    ) -> None:
        """Removes what nobody needs once the manifest exists, whoever gets this record next."""
        if self._songs is not None:
            self._songs.release(result)
        failed, is_deleted = callback.as_failure(body), as_tombstone(body) is not None
        # A run may be deleted while a late result of it is on its way.
        if is_deleted or (failed and not is_reported):
            self._storage.remove_unnamed(keys)
        # The staged files of any other failure stay: a replay can still publish them.
        if not failed or failed.error_code in UNWANTED:
            stems.retire(self._stage, result)
        if isinstance(result, Separated) and not is_reported:
            cached.remember(result, body, keys, self._storage)
