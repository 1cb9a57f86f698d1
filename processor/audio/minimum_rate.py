"""Ends a download that is too slow, so that it does not keep others from their place."""

from collections.abc import Callable

from common.errors import ErrorCode, TransientError

_SPAN_S = 60.0


class MinimumRate:
    """Measures the rate in each minute of a download, the first of which begins before the connection.

    `bytes_per_s` is the least rate allowed; 0 allows any.
    """

    def __init__(self, bytes_per_s: float, clock: Callable[[], float]):
        self._bytes_per_s, self._clock = bytes_per_s, clock
        self._since_s = clock()
        self._since_bytes = 0

    def check(self, received_bytes: int) -> None:
        """Check the minute that has ended, if one has; `received_bytes` is the total so far.

        Raises TransientError (download_timeout) for a minute that was too slow.
        """
        now_s = self._clock()
        span_s = now_s - self._since_s
        if span_s < _SPAN_S:
            return
        rate = (received_bytes - self._since_bytes) / span_s
        if rate < self._bytes_per_s:
            raise TransientError(
                ErrorCode.DOWNLOAD_TIMEOUT,
                f"The download is too slow: {rate:.0f} bytes per second over {span_s:.0f} seconds, "
                f"at least {self._bytes_per_s:g} are expected (MIN_DOWNLOAD_BYTES_PER_S)",
            )
        self._since_s, self._since_bytes = now_s, received_bytes
