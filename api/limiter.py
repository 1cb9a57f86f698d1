"""How often something may be done: a redelivery be asked for, a password be guessed."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

_MAX_NAME_CHARS = 100


class RateLimiter:
    """A token bucket for each name: `per_minute` tokens, refilled evenly over a minute.

    It remembers `max_names` of them; the one that took a token longest ago is forgotten first.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], max_names: int = 10_000):
        self._capacity, self._rate_per_s = float(per_minute), per_minute / 60
        self._clock, self._max_names = clock, max_names
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def retry_after_s(self, name: str) -> float:
        """0 if there is a token, else how long it takes until there is one."""
        return max(0.0, (1 - self._tokens(name)) / self._rate_per_s)

    def take(self, name: str) -> None:
        """Takes a token, also where there is none: then it takes the longer until there is one."""
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
    """How often a client may fail to sign in: as RateLimiter, for client addresses."""

    def __init__(self, per_minute: int, clock: Callable[[], float], max_clients: int = 10_000):
        self._limiter = RateLimiter(per_minute, clock, max_clients)

    def retry_after_s(self, client: str) -> float:
        """0 if the client may try, else how long it has to wait."""
        return self._limiter.retry_after_s(bucket_of(client))

    def failed(self, client: str) -> None:
        self._limiter.take(bucket_of(client))

    def forgive(self, client: str) -> None:
        """Takes one failure back."""
        self._limiter.give_back(bucket_of(client))


def bucket_of(client: str) -> str:
    """An IPv6 client owns a /64 at least and could take a new address for every guess."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:_MAX_NAME_CHARS]  # what a proxy has forwarded may be any text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return client
