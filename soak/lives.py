"""Checks what was deleted, and counts what came from the cache."""

import json
from collections import Counter
from collections.abc import Iterator

from common.tasks.messages import Separated
from soak.evidence import Evidence
from soak.violation import Violation

GONE = "HTTP status 404"


def wrong_deletions(evidence: Evidence) -> Iterator[Violation]:
    """Check that exactly those tasks are deleted whose users asked for it, and that their stems are gone."""
    asked = {evidence.task_uuids.get(job.number) for job in evidence.plan.jobs if job.is_deleted}
    for task_uuid in (asked ^ evidence.deleted) - {None}:
        is_wanted = task_uuid in asked
        yield Violation("deletion", f"{task_uuid}: {'not deleted' if is_wanted else 'nobody asked for it'}")
    deleted = [job.number for job in evidence.plan.jobs if job.is_deleted]
    bodies = [(number, json.loads(c.body)) for number in deleted for c in evidence.callbacks.get(number, [])]
    urls = {(number, stem["url"]) for number, body in bodies for stem in body.get("stems", {}).values()}
    for number, url in sorted(urls):
        if evidence.objects.get(url) != GONE:
            yield Violation("deletion", f"job {number}: {url} is still there")


def put_back(evidence: Evidence) -> Counter[tuple[str, int]]:
    """Return how often each run was separated after all, since the stems in the cache were gone by then.

    Such a run has one more task and one more result.
    """
    again = Counter((str(t.task_uuid), t.run) for t in evidence.ledger.tasks if t.cache == "refresh")
    hits = Counter((str(r.task_uuid), r.run) for r in from_cache(evidence))
    return again & hits


def from_cache(evidence: Evidence) -> list[Separated]:
    """Return the results that name an earlier task's stems."""
    results = evidence.ledger.results
    return [r for r in results if isinstance(r, Separated) and r.cached_from is not None]
