"""Places for jobs that wait for somebody else's network, with limits for each user and each host."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """One place that a job needs. `keys` are pairs of a kind and a name, such as ("host", "a.example:443").

    The place counts for `user`, and for each key against the limit of the key's kind.
    """

    user: str
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Limits:
    """At most `total` places, `per_user` for a user, and `per_key` (by kind) for a key; None: any number."""

    total: int | None = None
    per_user: int | None = None
    per_key: Mapping[str, int] = field(default_factory=dict)


class Places:
    """Counts the places that are taken. Not thread-safe: its owner has the lock."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._taken = 0
        self._by_user: Counter[str] = Counter()
        self._by_key: Counter[tuple[str, str]] = Counter()

    def fits(self, claim: Claim) -> bool:
        limits = self._limits
        return (
            _is_below(self._taken, limits.total)
            and _is_below(self._by_user[claim.user], limits.per_user)
            and all(_is_below(self._by_key[key], limits.per_key.get(key[0])) for key in claim.keys)
        )

    def take(self, claim: Claim) -> None:
        self._add(claim, 1)

    def free(self, claim: Claim) -> None:
        self._add(claim, -1)

    def taken_by(self, user: str) -> int:
        return self._by_user[user]

    def _add(self, claim: Claim, count: int) -> None:
        self._taken += count
        self._by_user[claim.user] += count
        self._by_key.update({key: count for key in claim.keys})
        # A count of 0 is dropped: there may be any number of users and hosts in time.
        self._by_user += Counter()
        self._by_key += Counter()


def _is_below(count: int, limit: int | None) -> bool:
    return limit is None or count < limit
