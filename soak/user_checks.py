"""Checks that users see their own tasks alone, and that no user gets another's stems from the cache."""

from collections.abc import Iterator

from soak.evidence import Evidence
from soak.lives import from_cache
from soak.violation import Violation


def intrusions(evidence: Evidence) -> Iterator[Violation]:
    """Return what a user saw of others' tasks, or did not see of the own ones."""
    for text in evidence.intrusions:
        yield Violation("privacy", text)
    owners = {evidence.task_uuids.get(job.number): job.user for job in evidence.plan.jobs}
    for result in evidence.ledger.results:
        task_uuid = str(result.task_uuid)
        if result.user != owners.get(task_uuid, result.user):
            yield Violation("privacy", f"{task_uuid} of {owners[task_uuid]} has a result for {result.user}")
    for hit in from_cache(evidence):
        user, earlier = owners.get(str(hit.task_uuid)), owners.get(str(hit.cached_from))
        if earlier not in (user, None):
            text = f"{hit.task_uuid} of {user} has the stems of {hit.cached_from} of {earlier}"
            yield Violation("privacy", text)
