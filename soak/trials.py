"""Checks that a soak tried what it planned: a run in which no fault struck shows nothing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from soak.disturbances import Disturbance
from soak.evidence import Evidence
from soak.house import Happened
from soak.lives import from_cache
from soak.violation import Violation

# In a shorter run a kind may be planned once, and its process busy with another disturbance then.
FEWEST_JOBS = 200
_SERVERS = ("broker", "store")


def untried(evidence: Evidence) -> Iterator[Violation]:
    """Name each kind of trial that was planned and never took place."""
    if evidence.plan.options.jobs < FEWEST_JOBS:
        return
    tried = _tried(evidence)
    for kind, planned in _planned(evidence).items():
        if planned and not tried[kind]:
            yield Violation("nothing was tried", f"{kind}: planned {planned} times, and none took place")


def _planned(evidence: Evidence) -> Counter[str]:
    plan = evidence.plan
    return _disturbances(plan.disturbances) + Counter(
        {
            "song from the cache": sum(job.repeats is not None for job in plan.jobs),
            "cancelled song": sum(batch.cancelled_after_s is not None for batch in plan.batches),
            "deletion": sum(job.is_deleted for job in plan.jobs),
        }
    )


def _tried(evidence: Evidence) -> Counter[str]:
    ends = [json.loads(calls[-1].body) for calls in evidence.callbacks.values()]
    return _disturbances(evidence.happened) + Counter(
        {
            "song from the cache": len(from_cache(evidence)),
            "cancelled song": sum(end.get("error_code") == "cancelled" for end in ends),
            "deletion": len(evidence.deleted),
        }
    )


def _disturbances(found: Iterable[Disturbance | Happened]) -> Counter[str]:
    """Count outages of the broker and the store, and what else happens to services."""
    return Counter(map(_kind_of, found))


def _kind_of(one: Disturbance | Happened) -> str:
    return f"outage of the {one.target}" if one.target in _SERVERS else f"{one.kind} of a service"
