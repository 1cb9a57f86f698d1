"""Gives archives to the requests that want them: so many at once, and one for each user."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from common.settings.schema import ApiSettings

if TYPE_CHECKING:
    from api.archive.reader import BucketReader

T = TypeVar("T")

_MOST_AT_ONCE = 16
_THREADS = 4


class TooManyArchives(Exception):
    """All places are taken, or the user's own."""


def _load(settings: ApiSettings) -> "BucketReader":
    # Imported here: an api that reads nothing in the bucket does without boto3, and its memory.
    from api.archive.reader import BucketReader

    return BucketReader(settings, _MOST_AT_ONCE)


class Archives:
    """Reads the bucket in threads. The event loop owns the places."""

    def __init__(self, settings: ApiSettings, load: "Callable[[ApiSettings], BucketReader]" = _load):
        self._settings, self._load = settings, load
        self._reader: BucketReader | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._users: set[str] = set()

    def take_place(self, user: str) -> None:
        """Take the user's place, to be given back by `leave_place`. Raise TooManyArchives."""
        if user in self._users or len(self._users) >= _MOST_AT_ONCE:
            raise TooManyArchives
        self._users.add(user)

    def leave_place(self, user: str) -> None:
        self._users.discard(user)

    async def ask(self, question: "Callable[[BucketReader], T]") -> T:
        """Return the answer to a question. Raise BucketUnavailable, and what the question raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: question(self._opened()))

    async def stream(self, blocks: Generator[bytes]) -> AsyncGenerator[bytes]:
        """Yield the blocks as they are wanted: a slow client holds no thread. Raise what they raise."""
        last: Future[bytes | None] | None = None
        try:
            while True:
                last = self._threads.submit(next, blocks, None)
                if (block := await asyncio.wrap_future(last)) is None:
                    return
                yield block
        finally:
            # A thread may still be at it, if the client has gone: a generator cannot be closed meanwhile.
            if last is not None:
                last.add_done_callback(lambda _: blocks.close())

    def close(self) -> None:
        """End the threads. A later question would start others."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    @property
    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="bucket-read")
        return self._pool

    def _opened(self) -> "BucketReader":
        if self._reader is None:
            self._reader = self._load(self._settings)
        return self._reader
