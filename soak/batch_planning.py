"""Plans the batches of a soak: which songs are submitted together, and what becomes of each batch."""

import dataclasses
import itertools
import random
from collections.abc import Iterable, Sequence

from common.kafka.lanes import HIGHEST
from soak.accounts import ACCOUNTS
from soak.chance import one_of
from soak.disturbances import Disturbance, Kind
from soak.plan import Batch, Hook, Job, RefusedBatch, Wrong

# One batch, and one that is refused, among so many jobs: about a sixth of the songs are in batches.
_STRETCH = 30
_FEWEST, _MOST = 2, 8
# It begins with one of the first jobs of its stretch, so that a short soak has a batch or two.
_LATEST_FIRST = 8
# No hook is dead: a batch is called after its songs, and a minute of tries would only make the soak longer.
_HOOKS = {
    Hook.HEALTHY: 70,
    Hook.ERRORS_AT_FIRST: 12,
    Hook.SILENT_AT_FIRST: 6,
    Hook.RESETS_AT_FIRST: 6,
    Hook.GONE: 6,
}


def gathered(jobs: Sequence[Job], rnd: random.Random) -> tuple[tuple[Job, ...], tuple[Batch, ...]]:
    """Return the jobs, some of which are items of the batches now, and the batches.

    The number of a batch decides what becomes of it, so that few batches have all kinds among them.
    """
    found, batches = list(jobs), []
    for number, begin in enumerate(range(0, len(jobs), _STRETCH)):
        first = begin + rnd.randint(0, _LATEST_FIRST)
        members = jobs[first : first + rnd.randint(_FEWEST, _MOST)]
        hook, hook_failures, patience_s = one_of(_HOOKS, rnd), rnd.randint(1, 3), round(rnd.uniform(0, 3), 2)
        if len(members) < _FEWEST:
            continue
        batch = Batch(
            number,
            user=members[0].user,
            at_s=members[-1].at_s,
            jobs=tuple(job.number for job in members),
            hook=None if number % 4 == 2 else hook,
            hook_failures=hook_failures,
            is_answer_lost=number % 2 == 0,
            cancelled_after_s=patience_s if number % 3 == 1 else None,
        )
        batches.append(batch)
        for job in members:
            found[job.number] = dataclasses.replace(job, user=batch.user, batch=batch.number, at_s=batch.at_s)
    return tuple(found), tuple(batches)


def refused_batches(jobs: Sequence[Job], rnd: random.Random) -> tuple[RefusedBatch, ...]:
    """Return a batch for each stretch of the jobs, for one reason and the other in turn."""
    bounded = [account.name for account in ACCOUNTS if account.max_priority < HIGHEST]
    found = []
    for number, why in zip(range(-(-len(jobs) // _STRETCH)), itertools.cycle(Wrong), strict=False):
        count = rnd.randint(_FEWEST, _MOST)
        user = rnd.choice(bounded if why is Wrong.CEILING else [account.name for account in ACCOUNTS])
        at_s = jobs[number * _STRETCH].at_s
        found.append(RefusedBatch(number, user, at_s, count, rnd.randrange(count), why))
    return tuple(found)


def api_kills(batches: Iterable[Batch], rnd: random.Random) -> list[Disturbance]:
    """Return a kill of the api for one batch in three: about when it queues the batch."""
    return [
        Disturbance(
            round(batch.at_s + rnd.uniform(0, 0.6), 2), "api", Kind.KILL, round(rnd.uniform(0.5, 2), 2)
        )
        for batch in batches
        if batch.number % 3 == 0
    ]
