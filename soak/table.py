"""Renders a soak's report: one table, and a line for each violation."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from soak.doubles import sent_again
from soak.evidence import Evidence
from soak.lives import from_cache, put_back
from soak.outside import Callback
from soak.plan import Batch
from soak.violation import Violation


@dataclass(frozen=True)
class Course:
    """The course of a run. `duration_s` is from the first submission until no record waited."""

    duration_s: float
    rebalances: Counter[str]
    repeated_submissions: int


def render(evidence: Evidence, found: list[Violation], course: Course) -> str:
    """Return the report as text."""
    rows = list(_rows(evidence, found, course))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join([*lines, "", *(str(violation) for violation in found)]).rstrip()


def _rows(evidence: Evidence, found: list[Violation], course: Course) -> Iterator[tuple[str, str | int]]:
    options, ledger = evidence.plan.options, evidence.ledger
    kinds = Counter(violation.kind for violation in found)
    ends = Counter(_end(evidence, number) for number in range(options.jobs))
    failures = Counter({code: count for code, count in ends.items() if code not in ("success", "none")})
    happened = Counter(h.kind for h in evidence.happened)
    again = sum(attempt.number > 1 for attempt in evidence.attempts)
    yield "seed", options.seed
    yield "jobs", options.jobs
    yield "succeeded", ends["success"]
    yield "failed", _listed(failures)
    yield "lost", kinds["lost"]
    yield "doubled", kinds["doubled"]
    yield "of users", _listed(Counter(job.user for job in evidence.plan.jobs))
    songs = sum(job.batch is not None for job in evidence.plan.jobs)
    batches = evidence.plan.batches
    yield "batches", f"{len(batches)} with {songs} songs ({_batches(batches)})"
    yield (
        "batches queued twice",
        sum(batch.ended_at is None for batch in ledger.batches) - len(evidence.batches),
    )
    yield "refused batches", _listed(Counter(refused.why.value for refused in evidence.plan.refused))
    yield "sent as", _listed(Counter(job.way.value for job in evidence.plan.jobs))
    yield "from the cache", f"{len(from_cache(evidence))} (put back {put_back(evidence).total()})"
    yield "deleted", len(evidence.deleted)
    yield "retried", _listed(ledger.retried)
    yield "attempts begun again", again
    yield "dead-lettered", _listed(Counter(letter.error_code for letter in ledger.letters))
    yield "callbacks sent", f"{_calls(evidence.callbacks)} ({sent_again(evidence)} again)"
    yield "callbacks of batches", _calls(evidence.batch_callbacks)
    yield "submissions repeated", course.repeated_submissions
    yield "disturbances", f"{_listed(happened)} of {len(evidence.plan.disturbances)} planned"
    for kind in sorted(happened):
        yield f"  {kind}", _listed(Counter(h.target for h in evidence.happened if h.kind == kind))
    yield "rebalances", _listed(course.rebalances)
    yield "offsets committed", ledger.commits
    yield "duration", f"{course.duration_s:.0f} s"
    yield "throughput", f"{options.jobs / course.duration_s:.2f} jobs/s"
    yield "violations", _listed(kinds)


def _batches(batches: Sequence[Batch]) -> str:
    counts = {
        "with a hook": sum(batch.hook is not None for batch in batches),
        "cancelled": sum(batch.cancelled_after_s is not None for batch in batches),
        "answer lost": sum(batch.is_answer_lost for batch in batches),
    }
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _end(evidence: Evidence, number: int) -> str:
    callbacks = evidence.callbacks.get(number)
    if not callbacks:
        return "none"
    body = json.loads(callbacks[-1].body)
    return body.get("error_code") or body["status"]


def _calls(callbacks: Mapping[int, Sequence[Callback]]) -> int:
    return sum(len(found) for found in callbacks.values())


def _listed(counts: Counter[str]) -> str:
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values())}" + (f" ({listed})" if listed else "")
