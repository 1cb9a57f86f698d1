"""What a waiting exchange asks several times a second: may it go on?"""

import time
from collections.abc import Callable

Pulse = Callable[[], None]


class DeadlineExceeded(Exception):
    """The total time allowed is over."""


def pulse_until(deadline_s: float, check: Pulse, clock: Callable[[], float] = time.monotonic) -> Pulse:
    """A function that raises what `check` raises, and DeadlineExceeded `deadline_s` seconds from now."""
    end_s = clock() + deadline_s

    def pulse() -> None:
        check()
        if clock() >= end_s:
            raise DeadlineExceeded

    return pulse
