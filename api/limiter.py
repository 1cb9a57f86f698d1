"""How often a client may guess a password."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

_MAX_NAME_CHARS = 100


class FailureLimiter:
    """A token bucket of `per_minute` failures for each client, refilled evenly over a minute.

    It remembers `max_clients` of them; the one that failed longest ago is forgotten first.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], max_clients: int = 10_000):
        self._capacity, self._rate_per_s = float(per_minute), per_minute / 60
        self._clock, self._max_clients = clock, max_clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def retry_after_s(self, client: str) -> float:
        """0 if the client may try, else how long it has to wait."""
        return max(0.0, (1 - self._tokens(bucket_of(client))) / self._rate_per_s)

    def failed(self, client: str) -> None:
        bucket = bucket_of(client)
        self._buckets[bucket] = (self._tokens(bucket) - 1, self._clock())
        self._buckets.move_to_end(bucket)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)

    def forgive(self, client: str) -> None:
        """Takes one failure back."""
        bucket = bucket_of(client)
        if bucket in self._buckets:
            self._buckets[bucket] = (min(self._capacity, self._tokens(bucket) + 1), self._clock())

    def _tokens(self, bucket: str) -> float:
        tokens, at_s = self._buckets.get(bucket, (self._capacity, self._clock()))
        return min(self._capacity, tokens + (self._clock() - at_s) * self._rate_per_s)


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
