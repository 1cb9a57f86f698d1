"""Links in what the api says of a task: those of its callback expire, so that it gives new ones."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from common.settings.schema import ApiSettings
from common.tasks.messages import Status, SuccessCallback


class Links(Protocol):
    def renewed(self, result: SuccessCallback) -> SuccessCallback:
        """With links that are valid from now on. May block."""


def _load(settings: ApiSettings) -> Links:
    # Here, since an api that gives no links needs nothing of boto3, neither its memory nor its time.
    from api.links.maker import ResultLinks

    return ResultLinks(settings)


class LinkRenewer:
    """Makes links on a thread of its own, on which the library is loaded with the first one.

    Without an S3_BUCKET_NAME, or when a result's links never expire, they stay as they are.
    """

    def __init__(self, settings: ApiSettings, load: Callable[[ApiSettings], Links] = _load):
        self._settings, self._load = settings, load
        self._links: Links | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="links")

    async def renewed(self, status: Status) -> Status:
        """The status with links that are valid from now on."""
        result = status.result
        if result is None or result.expires_at is None or self._settings.s3_bucket_name is None:
            return status
        fresh = await asyncio.get_running_loop().run_in_executor(self._thread, self._renew, result)
        return status.model_copy(update={"result": fresh})

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _renew(self, result: SuccessCallback) -> SuccessCallback:
        if self._links is None:
            self._links = self._load(self._settings)
        return self._links.renewed(result)
