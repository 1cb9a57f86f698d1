"""Counts places for jobs that wait for somebody else's network, with limits for each user and host."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """A job's request for one place. `keys` are pairs of kind and name, such as ("host", "a.example:443").

    The place counts toward the user's limit, and for each key toward the limit of the key's kind.
    """

    user: str
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Limits:
    """The limits: `total` places, `per_user` for each user, and `per_key`, by kind, for each key.

    None, or a kind that is missing, means no limit.
    """

    total: int | None = None
    per_user: int | None = None
    per_key: Mapping[str, int] = field(default_factory=dict)


class Places:
    """Counts the places that are taken. Not thread-safe: the waiting room calls it under its own lock."""

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
        # Adding an empty Counter drops counts of 0: over time there may be any number of users and hosts.
        self._by_user += Counter()
        self._by_key += Counter()


def _is_below(count: int, limit: int | None) -> bool:
    return limit is None or count < limit
