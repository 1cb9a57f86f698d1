"""Plans what happens to the processes of a soak: kills, freezes and stops."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from soak.chance import one_of


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL, and a start after `lasts_s`."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT after `lasts_s`."""
    STOP = "stop"
    """SIGTERM, and a start after `lasts_s` and the process's end."""


@dataclass(frozen=True)
class Disturbance:
    at_s: float
    target: str
    kind: Kind
    lasts_s: float


def plan_disturbances(
    workers: Sequence[str], horizon_s: float, rnd: random.Random
) -> tuple[Disturbance, ...]:
    """Return the disturbances of `horizon_s` seconds, in the order of their times."""
    # A server that all depend on has an outage every 35 or 45 s; a worker is disturbed every few seconds.
    free_at_s = {"broker": rnd.uniform(8, 25), "store": rnd.uniform(5, 20)}
    every = {"broker": 45.0, "store": 35.0}
    shares = {"api": 1.0, "broker": 2.0, "store": 2.0, **dict.fromkeys(workers, 2.0)}
    found = []
    at_s = rnd.uniform(1, 3)
    while at_s < horizon_s:
        ready = {name: share for name, share in shares.items() if free_at_s.get(name, 0) <= at_s}
        if ready:
            disturbance = _disturbance(round(at_s, 2), one_of(ready, rnd), rnd)
            found.append(disturbance)
            rest_s = every.get(disturbance.target, rnd.uniform(1, 8))
            free_at_s[disturbance.target] = at_s + disturbance.lasts_s + rest_s
        at_s += rnd.uniform(1.5, 4.5)
    return tuple(found)


def _disturbance(at_s: float, target: str, rnd: random.Random) -> Disturbance:
    if target in ("broker", "store"):
        return Disturbance(at_s, target, Kind.KILL, round(rnd.uniform(0.5, 5), 2))
    kind = one_of({Kind.KILL: 5, Kind.FREEZE: 4, Kind.STOP: 1}, rnd)
    # The session time-out is 6 s: longer disturbances cost a worker its membership, shorter ones do not.
    is_long = rnd.random() < (0.25 if kind is Kind.KILL else 0.5)
    return Disturbance(at_s, target, kind, round(rnd.uniform(7.5, 13) if is_long else rnd.uniform(0, 4), 2))
