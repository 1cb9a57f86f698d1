"""The queue of what is to be committed. It decides which requests go into one transaction."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence

from common.kafka.records import Message
from common.worker.commit_request import CommitRequest, messages
from common.worker.committed_state import Step

# 10 ms: long enough for the next job to begin, no longer than sending the ended job's result takes anyway.
_COMPANY_S = 0.01


class CommitQueue:
    """Any thread may call `put`, `close` and `len`. All else is called by the committer's thread alone."""

    def __init__(self, max_batch: int, company_s: float = _COMPANY_S):
        """`company_s`: how long an ended job's transaction stays open for the attempt that follows it."""
        self._max_batch, self._company_s = max_batch, company_s
        self._requests: queue.SimpleQueue[CommitRequest | None] = queue.SimpleQueue()  # thread-safe
        # The committer's thread owns the fields below.
        self._put_back: CommitRequest | None = None
        self._is_closed = False
        self._company_until_s = 0.0

    def __len__(self) -> int:
        return self._requests.qsize()

    def put(self, request: CommitRequest) -> None:
        self._requests.put(request)

    def close(self) -> None:
        """End the queue: requests that are put later are not read."""
        self._requests.put(None)

    def next_batch(self) -> list[CommitRequest]:
        """Wait for a request, and return it with those that are there. Empty: the queue has ended."""
        batch = self._take(self._max_batch, None, lambda request: True)
        self._company_until_s = time.monotonic() + self._company_s
        return batch

    def rounds(
        self, batch: list[CommitRequest], may_join: Callable[[CommitRequest], bool]
    ) -> Iterator[list[Message]]:
        """Yield the messages of the last batch, then of each request that joins it; `batch` grows by those.

        Wait for the attempts that the batch's ended jobs make room for: if they came after this transaction,
        they would wait for all of it. A request that may not join is in the next batch.
        """
        yield messages(batch)
        while joined := self._company(batch, may_join):
            batch.extend(joined)
            yield messages(joined)

    def _company(
        self, batch: Sequence[CommitRequest], may_join: Callable[[CommitRequest], bool]
    ) -> list[CommitRequest]:
        left_s = max(0.0, self._company_until_s - time.monotonic())
        return self._take(self._max_batch - len(batch), left_s if _frees_slots(batch) else 0.0, may_join)

    def _take(
        self, count: int, timeout_s: float | None, may_join: Callable[[CommitRequest], bool]
    ) -> list[CommitRequest]:
        taken: list[CommitRequest] = []
        while len(taken) < count and (request := self._next(timeout_s)) is not None:
            if not may_join(request):
                self._put_back = request
                break
            taken.append(request)
            timeout_s = 0.0
        return taken

    def _next(self, timeout_s: float | None) -> CommitRequest | None:
        request, self._put_back = self._put_back, None
        if request is not None or self._is_closed:
            return request
        try:
            request = self._requests.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._is_closed = request is None
        return request


def _frees_slots(batch: Sequence[CommitRequest]) -> bool:
    ended, begun = (sum(request.step is step for request in batch) for step in (Step.FINISH, Step.BEGIN))
    return ended > begun
