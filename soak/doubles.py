"""Checks that nothing was queued and nobody was called more often than what happened explains."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from common.tasks.messages import DeliveryAttempt
from soak.evidence import Evidence
from soak.house import CALLBACK_RETRIES
from soak.outside import Callback
from soak.plan import Batch, Hook, Job
from soak.violation import Violation

# A killed process is back with its group, and a server in use again, so long after its start.
AFTERMATH_S = 30.0
_CALLERS = ("uploader", "broker", "store")
_CALLBACK_FAILED = "callback_failed"


def doubled(evidence: Evidence) -> Iterator[Violation]:
    """Return what was queued again that nobody sent again, and who was called too often."""
    yield from _queued_again(evidence)
    deliveries = defaultdict(list)
    for delivery in evidence.ledger.deliveries:
        deliveries[str(delivery.task_uuid)].append(delivery)
    for job in evidence.plan.jobs:
        calls, found = (
            evidence.callbacks.get(job.number, []),
            deliveries[evidence.task_uuids.get(job.number, "")],
        )
        # A song that was queued twice has a result and a callback for each time.
        times = max(1, sum(delivery.next_try_at is None for delivery in found))
        yield from _called_again(f"job {job.number} (hook {job.hook})", job, times, calls, found, evidence)
    for batch in evidence.plan.batches:
        if batch.number in evidence.batches:
            calls = evidence.batch_callbacks.get(batch.number, [])
            found = deliveries[evidence.batches[batch.number].batch_uuid]
            # However often it was ordered: a mark says that the receiver has taken the callback.
            yield from _called_again(
                f"batch {batch.number} (hook {batch.hook})", batch, 1, calls, found, evidence
            )


def sent_again(evidence: Evidence) -> int:
    """Return how many callbacks of jobs came beside those that were needed."""
    return sum(
        max(0, len(evidence.callbacks.get(job.number, [])) - _needed(job, 1)) for job in evidence.plan.jobs
    )


def _queued_again(evidence: Evidence) -> Iterator[Violation]:
    queued = Counter(str(task.task_uuid) for task in evidence.ledger.tasks if task.cache != "refresh")
    batches = {batch.number: batch for batch in evidence.plan.batches}
    for job in evidence.plan.jobs:
        times = queued[evidence.task_uuids.get(job.number, "")]
        batch = batches.get(job.batch) if job.batch is not None else None
        sent = 1 + evidence.repeated[f"job {job.number}" if batch is None else f"batch {batch.number}"]
        if batch is not None and batch.is_answer_lost:
            sent += 2  # once without waiting for an answer, and once more after one
        if times > sent:
            yield Violation("doubled", f"job {job.number} was sent {sent} times and queued {times} times")


def _called_again(
    name: str,
    called: Job | Batch,
    times: int,
    calls: Sequence[Callback],
    deliveries: Sequence[DeliveryAttempt],
    evidence: Evidence,
) -> Iterator[Violation]:
    """Check the calls of one hook, which is to take `times` callbacks.

    One more may come for each disturbance, and for each try that a busy receiver did not answer in time.
    """
    needed = _needed(called, times)
    unanswered = sum(d.status is None and d.error_code == _CALLBACK_FAILED for d in deliveries)
    late = max(0, unanswered - _unanswered_by_plan(called))
    disturbed = _disturbances_of(calls, evidence)
    if len(calls) > needed + late + disturbed:
        said = f"{needed} are needed, {late} got a late answer, and {disturbed} disturbances struck"
        yield Violation("doubled", f"{name} got {len(calls)} callbacks: {said}")


def _needed(called: Job | Batch, times: int) -> int:
    match called.hook:
        case Hook.DEAD:
            return times * (CALLBACK_RETRIES + 1)
        case Hook.HEALTHY | Hook.GONE | None:
            return times
    return called.hook_failures + times


def _unanswered_by_plan(called: Job | Batch) -> int:
    return called.hook_failures if called.hook in (Hook.SILENT_AT_FIRST, Hook.RESETS_AT_FIRST) else 0


def _disturbances_of(calls: Sequence[Callback], evidence: Evidence) -> int:
    """Count the disturbances of uploaders, broker and store from the first call to the last one.

    Without its commit a call is not known, and made again.
    """
    if not calls:
        return 0
    first_s, last_s = calls[0].at_s, calls[-1].at_s
    return sum(
        h.target.startswith(_CALLERS) and h.at_s <= last_s and h.until_s + AFTERMATH_S >= first_s
        for h in evidence.happened
    )
