"""Gives a task's status new links, because the links of its callback expire."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from common.settings.schema import ApiSettings
from common.tasks.messages import Status, SuccessCallback

if TYPE_CHECKING:
    from api.links.maker import ResultLinks


def _load(settings: ApiSettings) -> "ResultLinks":
    # Imported here: an api that makes no links does without boto3, its memory and its time to load.
    from api.links.maker import ResultLinks

    return ResultLinks(settings)


class LinkRenewer:
    """Makes links in a thread of its own, which loads boto3 for the first one.

    Links stay as they are without an S3_BUCKET_NAME, and in results whose links never expire.
    """

    def __init__(self, settings: ApiSettings, load: "Callable[[ApiSettings], ResultLinks]" = _load):
        self._settings, self._load = settings, load
        self._links: ResultLinks | None = None
        self._origin: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="links")

    async def renewed(self, status: Status) -> Status:
        """Return the status with links that are valid from now on."""
        result = status.result
        if result is None or result.expires_at is None or self._settings.s3_bucket_name is None:
            return status
        fresh = await asyncio.get_running_loop().run_in_executor(self._thread, self._renew, result)
        return status.model_copy(update={"result": fresh})

    async def prefix(self, result: SuccessCallback) -> str:
        """Return the S3_PREFIX under which the stems are. Where it cannot be told, it is the present one."""
        if self._settings.s3_bucket_name is None:
            return self._settings.s3_prefix
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, lambda: self._loaded().prefix(result))
        return self._settings.s3_prefix if found is None else found

    async def origin(self) -> str | None:
        """Return scheme, host and port of the links; None where no links can be made."""
        if self._settings.s3_bucket_name is None:
            return None
        if self._origin is None:
            self._origin = await asyncio.get_running_loop().run_in_executor(self._thread, self._find_origin)
        return self._origin

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _renew(self, result: SuccessCallback) -> SuccessCallback:
        return self._loaded().renewed(result)

    def _find_origin(self) -> str | None:
        return self._loaded().origin()

    def _loaded(self) -> "ResultLinks":
        if self._links is None:
            self._links = self._load(self._settings)
        return self._links
