"""Shares one topic's partitions out to a group's members: evenly, and with as few moves as possible.

A busy partition has a running job, and stays with its owner. If the owner has more than its share, the
surplus is named as drained: to be given up once it is idle. Idle partitions move at once.
"""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One member's part in a topic.

    `owned` are the member's partitions. Of those, `busy` have running jobs, the first to be given up first.
    `waiting` have records that nobody has taken. Only a member that `takes` is given more.
    """

    owned: frozenset[int] = frozenset()
    busy: tuple[int, ...] = ()
    waiting: frozenset[int] = frozenset()
    subscribes: bool = True
    takes: bool = True


@dataclass(frozen=True)
class Share:
    """The partitions of a member from now on, and the ones that others get once they are idle."""

    partitions: frozenset[int]
    drained: frozenset[int]


def share_out(partitions: Set[int], claims: Mapping[str, Claim]) -> dict[str, Share]:
    """Give each member its share.

    A partition that moves is in no share: its owner has to give it up before the next assignment gives it
    away. A partition that several members claim is in no share either.
    """
    owners = Counter(number for claim in claims.values() for number in claim.owned)
    known = {name: _known(claim, partitions, owners) for name, claim in claims.items()}
    members = {name: claim for name, claim in known.items() if claim.subscribes}
    takers = [name for name, claim in members.items() if claim.takes] or list(members)
    if not takers:
        return {name: Share(frozenset(), frozenset()) for name in claims}
    fair = _quotas(len(partitions), members, takers, dict.fromkeys(members, 0))
    pinned = {name: len(claim.busy) for name, claim in members.items()}
    quotas = _quotas(len(partitions), members, takers, pinned)
    loaded = _loaded_quotas(members, takers)
    shares = {name: _kept(claim, quotas[name], loaded[name]) for name, claim in members.items()}
    for number in sorted(partitions - owners.keys()):
        room = {name: len(shares[name]) - quotas[name] for name in takers}
        shares[min(takers, key=lambda name: (room[name], name))].add(number)
    return {
        name: Share(
            frozenset(shares.get(name, ())),
            frozenset(claim.busy[: max(0, len(claim.busy) - fair[name])] if name in members else ()),
        )
        for name, claim in known.items()
    }


def _known(claim: Claim, partitions: Set[int], owners: Counter[int]) -> Claim:
    """Return the claim without partitions that do not exist, are not owned, or that others claim too."""
    owned = frozenset(number for number in claim.owned & partitions if owners[number] == 1)
    busy = tuple(dict.fromkeys(number for number in claim.busy if number in owned))
    return Claim(owned, busy, claim.waiting & owned - set(busy), claim.subscribes, claim.takes)


def _quotas(
    total: int, members: Mapping[str, Claim], takers: list[str], at_least: Mapping[str, int]
) -> dict[str, int]:
    """Return how many partitions each member may have, as evenly as `at_least` allows.

    A member that owns more is the first to have one more.
    """
    counts = dict(at_least)
    for _ in range(total - sum(counts.values())):
        name = min(takers, key=lambda name: (counts[name], len(members[name].owned) <= counts[name], name))
        counts[name] += 1
    return counts


def _loaded_quotas(members: Mapping[str, Claim], takers: list[str]) -> dict[str, int]:
    """Return how many partitions with work each may keep, so that a new member gets its share of the work."""
    waiting = sum(len(claim.waiting) for claim in members.values())
    pinned = {name: len(claim.busy) for name, claim in members.items()}
    return _quotas(waiting + sum(pinned.values()), members, takers, pinned)


def _kept(claim: Claim, quota: int, loaded: int) -> set[int]:
    """Return what the owner keeps: its busy partitions, then its part of those with and without work."""
    waiting = sorted(claim.waiting)
    quiet = sorted(claim.owned - claim.waiting - set(claim.busy))
    with_work = max(0, loaded - len(claim.busy))
    wanted = [*claim.busy, *waiting[:with_work], *quiet, *waiting[with_work:]]
    return set(wanted[:quota])
