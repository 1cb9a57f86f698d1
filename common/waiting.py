"""What a waiting exchange asks several times a second: may it go on?"""

import time
from collections.abc import Callable

StopCheck = Callable[[], None]


class DeadlineExceeded(Exception):
    """The total time allowed is over."""


def deadline_check(
    deadline_s: float, check: StopCheck, clock: Callable[[], float] = time.monotonic
) -> StopCheck:
    """A function that raises what `check` raises, and DeadlineExceeded `deadline_s` seconds from now."""
    end_s = clock() + deadline_s

    def stop_check() -> None:
        check()
        if clock() >= end_s:
            raise DeadlineExceeded

    return stop_check
