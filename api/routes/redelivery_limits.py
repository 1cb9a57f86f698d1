"""Limits how often one user may ask for redeliveries, and anybody for those of one task or batch."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from api.limiter import RateLimiter
from api.problems import ProblemError

_PER_MINUTE_AND_ONE = 3


class RedeliveryLimits:
    """Counts redeliveries. They are limited because the uploader tries each one for a day."""

    def __init__(self, per_minute_and_user: int, clock: Callable[[], float]):
        self._of_user = RateLimiter(per_minute_and_user, clock)
        self._of_one = RateLimiter(_PER_MINUTE_AND_ONE, clock)

    @contextmanager
    def counted(self, user: str, called_for: UUID, kind: str = "task") -> Iterator[None]:
        """Count a redelivery unless the block raises. Raise ProblemError 429 if there were too many.

        `called_for` is the id of the task or batch whose callback is sent; `kind` says which of the two.
        """
        name = str(called_for)
        self._check(self._of_one.retry_after_s(name), f"Too many redeliveries of this {kind} were requested")
        self._check(self._of_user.retry_after_s(user), "You have asked for too many redeliveries")
        # Before the block, which awaits: concurrent requests would all pass the checks otherwise.
        self._of_one.take(name)
        self._of_user.take(user)
        try:
            yield
        except BaseException:
            self._of_one.give_back(name)
            self._of_user.give_back(user)
            raise

    def _check(self, retry_after_s: float, reason: str) -> None:
        if not retry_after_s:
            return
        wait_s = math.ceil(retry_after_s)
        raise ProblemError(
            429,
            f"{reason}; please ask again in {wait_s} s",
            error_code="too_many_redeliveries",
            headers={"Retry-After": str(wait_s)},
        )
