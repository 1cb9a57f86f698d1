"""What waits to be committed, and which of it goes into one transaction."""

import queue
import time
from collections.abc import Sequence

from common.commit_request import CommitRequest
from common.progress import Step

# A transaction takes about as long as this, and within it a slot that has become free is mostly taken again.
_COMPANY_S = 0.01


class CommitQueue:
    """Asked by any thread, read by one."""

    def __init__(self, max_batch: int, company_s: float = _COMPANY_S):
        """`company_s`: how long an ended job's commit waits for the attempt that follows it."""
        self._max_batch, self._company_s = max_batch, company_s
        self._requests: queue.SimpleQueue[CommitRequest | None] = queue.SimpleQueue()

    def __len__(self) -> int:
        return self._requests.qsize()

    def put(self, request: CommitRequest) -> None:
        self._requests.put(request)

    def close(self) -> None:
        """What comes after it is not read."""
        self._requests.put(None)

    def next_batch(self) -> list[CommitRequest] | None:
        """Waits for a request, and takes those that are there with it. None: closed, and all was read."""
        request = self._requests.get()
        batch: list[CommitRequest] = []
        until_s = time.monotonic() + self._company_s
        while request is not None:
            batch.append(request)
            if len(batch) >= self._max_batch:
                return batch
            timeout_s = max(0.0, until_s - time.monotonic()) if _frees_slots(batch) else 0.0
            try:
                request = self._requests.get(timeout=timeout_s)
            except queue.Empty:
                return batch
        if batch:
            self.close()  # the end comes after what was asked for before it
            return batch
        return None


def _frees_slots(batch: Sequence[CommitRequest]) -> bool:
    """The next attempts are about to be asked for: after this transaction they would wait for all of it."""
    ended, begun = (sum(request.step is step for request in batch) for step in (Step.FINISH, Step.BEGIN))
    return ended > begun
