"""A callback that goes out once more, long after its run was over: the same bytes under the same id."""

import logging

from common.errors import ErrorCode, JobError, PermanentError
from common.jobs.handler import JobContext
from common.jobs.outcome import Done, Failed, Outcome
from common.tasks.messages import Redelivery
from uploader.delivery import Courier, NextDelay
from uploader.storage import RunKeys, Storage

log = logging.getLogger(__name__)


class Redeliverer:
    """Tells of each try, and nothing of the run: its end stands, whatever becomes of this."""

    def __init__(self, s3_prefix: str, storage: Storage, courier: Courier):
        self._prefix, self._storage, self._courier = s3_prefix, storage, courier

    def run(
        self, asked: Redelivery, webhook_id: str, try_number: int, context: JobContext, next_delay: NextDelay
    ) -> Outcome:
        """One try. Raises only what `context.check` raises."""
        try:
            body = self._body(asked)
        except JobError as error:
            # Whoever asked for it looks there.
            return Failed(error, (self._courier.not_posted(asked, try_number, error, next_delay),))
        error, noted = self._courier.post(asked, webhook_id, body, try_number, context.check, next_delay)
        if error is None:
            log.info("callback delivered again")
            return Done((noted,))
        return Failed(error, (noted,))

    def _body(self, asked: Redelivery) -> bytes:
        """As it went out before. Raises JobError (storage_error), permanent when it is nowhere any more."""
        if asked.failure is not None and asked.unstored:
            # Without a look at the store, which may have another's manifest by now.
            return asked.failure.to_bytes()
        key = RunKeys(self._prefix, asked.task_uuid, asked.run).manifest
        body = self._storage.get_manifest(key)
        if body is not None:
            return body
        if asked.failure is not None:  # given up before anybody was told, and before there was a manifest
            return self._storage.put_manifest(key, asked.failure.to_bytes())
        raise PermanentError(ErrorCode.STORAGE_ERROR, "The run's manifest is no longer in the store")
