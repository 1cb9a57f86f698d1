"""Runs questions that may read all tasks, in threads of their own, one at a time for each user."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from api.view.reader import Reader
from api.view.time_limit import LONGEST_S

T = TypeVar("T")

_THREADS = 2


class LongQuestions:
    """Asks a reader. Whatever many users search, single tasks are found at once."""

    def __init__(self, reader: Reader, patience_s: float):
        self._reader, self._patience_s = reader, patience_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="view-search")
        # A lock exists only while somebody holds it or waits for it.
        self._users: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask(self, user: str | None, cpu_s: float, question: Callable[..., T], *arguments: Any) -> T:
        """Return the answer. Raise TooMuchToRead after `cpu_s` of CPU time, MachineBusy after LONGEST_S.

        Raise TimeoutError if others come before it for so long.
        `user` None stands for the administrators together.
        """
        turn = self._users.setdefault(user or "", asyncio.Lock())
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience_s + LONGEST_S), turn:
            return await loop.run_in_executor(self._threads, self._reader.within, cpu_s, question, *arguments)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
