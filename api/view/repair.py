"""Decides when the view's file is made anew because it is damaged."""

import math
import time
from collections.abc import Callable

EVERY_S = 3600.0


class Repair:
    """Takes reports of damage from all threads, and tells the feed whether to make the file anew.

    Files are numbered in the order in which the feed opens them: a late report is about no newer file.

    What readers report leads to one repair an hour at most. So does a row that the feed cannot decode. Such a
    row may be no damage but a fault of this version, which would write the row again in the same way. Until
    the hour is over, questions that meet the row get ViewUnavailable, and the feed skips records that change
    it. Other damage that the feed meets is repaired after the feed's pause: the feed cannot go on without.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._damaged: int | None = None
        self._repaired_s = -math.inf
        # The number of the file that is open, or was the last one. The feed's thread counts.
        self.file = 0

    @property
    def is_allowed(self) -> bool:
        """Whether an hour has passed since the last repair."""
        return self._clock() - self._repaired_s >= EVERY_S

    @property
    def is_due(self) -> bool:
        """Whether the file is to be made anew."""
        return self._damaged == self.file

    def report(self, file: int) -> None:
        """Note that somebody has met damage in this file."""
        if self.is_allowed and file == self.file:
            self._damaged = file

    def require(self) -> None:
        """Note that the feed cannot go on with the file."""
        self._damaged = self.file

    def opened(self) -> None:
        """Note that the feed has opened a file: a new one, if a repair was due. For the feed's thread."""
        if self.is_due:
            self._repaired_s = self._clock()
        self.file += 1
