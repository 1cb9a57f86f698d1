"""Limits how often something may be done, such as asking for a redelivery or guessing a password."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

_MAX_NAME_CHARS = 100
_CACHED_CLIENTS = 1024


class RateLimiter:
    """Keeps a token bucket for each name: `per_minute` tokens, refilled evenly over a minute.

    It remembers `max_names` buckets, and forgets the bucket whose last token was taken longest ago first.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], max_names: int = 10_000):
        self._capacity, self._rate_per_s = float(per_minute), per_minute / 60
        self._clock, self._max_names = clock, max_names
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def retry_after_s(self, name: str) -> float:
        """Return 0 if there is a token, else the seconds until there is one."""
        if name not in self._buckets:
            return 0.0  # a full bucket, as almost everybody's is
        return max(0.0, (1 - self._tokens(name)) / self._rate_per_s)

    def take(self, name: str) -> None:
        """Take a token. Where there is none, the wait for the next token grows."""
        self._buckets[name] = (self._tokens(name) - 1, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._max_names:
            self._buckets.popitem(last=False)

    def give_back(self, name: str) -> None:
        if name in self._buckets:
            self._buckets[name] = (min(self._capacity, self._tokens(name) + 1), self._clock())

    def _tokens(self, bucket: str) -> float:
        tokens, at_s = self._buckets.get(bucket, (self._capacity, self._clock()))
        return min(self._capacity, tokens + (self._clock() - at_s) * self._rate_per_s)


class FailureLimiter:
    """Limits how often a client may fail to sign in: a RateLimiter for client addresses."""

    def __init__(self, per_minute: int, clock: Callable[[], float], max_clients: int = 10_000):
        self._limiter = RateLimiter(per_minute, clock, max_clients)

    def retry_after_s(self, client: str) -> float:
        """Return 0 if the client may try, else the seconds that it has to wait."""
        return self._limiter.retry_after_s(bucket_of(client))

    def failed(self, client: str) -> None:
        self._limiter.take(bucket_of(client))

    def forgive(self, client: str) -> None:
        """Take one failure back."""
        self._limiter.give_back(bucket_of(client))


@lru_cache(_CACHED_CLIENTS)
def bucket_of(client: str) -> str:
    """Return the name of the bucket for a client's address.

    IPv6 addresses share one bucket for each /64: a client owns at least that many, and could take a new
    address for every guess.
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:_MAX_NAME_CHARS]  # a proxy may forward any text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return client
