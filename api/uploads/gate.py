"""The way from the event loop to the bucket: a few threads, and the problems that its errors mean."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from api.problems import ProblemError
from api.uploads.models import UploadErrorCode
from common.settings.schema import ApiSettings

if TYPE_CHECKING:
    from api.uploads.store import UploadStore

log = logging.getLogger(__name__)

T = TypeVar("T")

# Single calls never wait for those of a batch. The store's client has 16 connections.
_THREADS, _BATCH_THREADS = 6, 8
# So many calls in a row without an answer mean that the store is away: each takes minutes to fail.
_MOST_UNANSWERED = 3
# Each takes up to 20 MB of memory.
_MOST_FORMS, _MOST_FORMS_OF_USER = 16, 8


def _load(settings: ApiSettings) -> "UploadStore":
    # Imported here: an api that takes no uploads does without boto3, its memory and its time to load.
    from api.uploads.store import UploadStore

    return UploadStore(settings)


class UploadGate:
    """Runs the store's calls in threads. The first call loads boto3. Used in one event loop at a time."""

    def __init__(self, settings: ApiSettings, load: "Callable[[ApiSettings], UploadStore]" = _load):
        self.settings, self._load = settings, load
        self._store: UploadStore | None = None
        self._loader: ThreadPoolExecutor | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._batch_threads: ThreadPoolExecutor | None = None
        self._forms: Counter[str] = Counter()

    async def run(self, call: "Callable[[UploadStore], T]") -> T:
        """Returns what `call` returns. Raises ProblemError: what it raises, 501 or 503 about the store."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="uploads")
        return await self._run_in(self._threads, call)

    async def run_all(
        self, calls: "Sequence[Callable[[UploadStore], T]]", tries_each: bool = False
    ) -> list[T | BaseException]:
        """Returns what each call returns or raises, in their order. Requests take turns.

        After the first call that cannot use the store, no further one begins: those that are left get the
        same problem. With `tries_each` that needs several calls in a row without any answer.
        """
        if self._batch_threads is None:
            self._batch_threads = ThreadPoolExecutor(_BATCH_THREADS, thread_name_prefix="uploads-batch")
        threads, places = self._batch_threads, asyncio.Semaphore(_BATCH_THREADS)
        outage: ProblemError | None = None
        unanswered = 0

        async def one(call: "Callable[[UploadStore], T]") -> T | ProblemError:
            nonlocal outage, unanswered
            async with places:
                if outage is not None:
                    return outage
                try:
                    done = await self._run_in(threads, call)
                except ProblemError as error:
                    unanswered = unanswered + 1 if _is_unanswered(error) else 0
                    is_away = error.error_code == UploadErrorCode.STORE_UNAVAILABLE
                    is_outage = unanswered >= _MOST_UNANSWERED if tries_each else is_away
                    if is_outage:
                        outage = error
                    return error
                unanswered = 0
                return done

        return [*await asyncio.gather(*map(one, calls), return_exceptions=True)]

    async def _run_in(self, threads: ThreadPoolExecutor, call: "Callable[[UploadStore], T]") -> T:
        if self._store is None:
            await self.in_order(self._open)
        return await asyncio.get_running_loop().run_in_executor(threads, self._guarded, call)

    async def in_order(self, call: Callable[[], T]) -> T:
        """Returns what `call` returns. Calls run in the order in which they were given."""
        if self._loader is None:
            self._loader = ThreadPoolExecutor(1, thread_name_prefix="uploads")
        return await asyncio.get_running_loop().run_in_executor(self._loader, call)

    @contextmanager
    def form(self, user: str) -> Iterator[None]:
        """Counts a song that comes through the api. Raises ProblemError 429 if too many come already."""
        if self._forms[user] >= _MOST_FORMS_OF_USER or self._forms.total() >= _MOST_FORMS:
            raise ProblemError(
                429,
                "Too many songs are being uploaded; please try again in a few seconds",
                error_code=UploadErrorCode.TOO_MANY,
                headers={"Retry-After": "5"},
            )
        self._forms[user] += 1
        try:
            yield
        finally:
            self._forms[user] -= 1
            self._forms += Counter()  # drops counts of 0: over time there may be any number of users

    def close(self) -> None:
        """Ends the threads. A later call would start others."""
        for threads in (self._loader, self._threads, self._batch_threads):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)
        self._loader = self._threads = self._batch_threads = None

    def _open(self) -> None:
        if self._store is None:
            self._store = self._load(self.settings)

    def _guarded(self, call: "Callable[[UploadStore], T]") -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        assert self._store is not None
        try:
            return call(self._store)
        except (BotoCoreError, ClientError) as error:
            log.error("the store failed: %s", error)
            raise ProblemError(
                503,
                "The store of songs cannot be used at the moment; please try again",
                error_code=UploadErrorCode.STORE_UNAVAILABLE,
                headers={"Retry-After": "5"},
            ) from error


def _is_unanswered(error: ProblemError) -> bool:
    from botocore.exceptions import BotoCoreError

    return isinstance(error.__cause__, BotoCoreError)
