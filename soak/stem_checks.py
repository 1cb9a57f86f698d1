"""Checks the stems and what the callbacks tell of them."""

import json
from collections.abc import Iterator
from typing import Any

from soak import choices, songs
from soak.choices import CHOSEN, Chosen
from soak.evidence import Evidence
from soak.plan import Job
from soak.violation import Violation


def wrong_stems(evidence: Evidence) -> Iterator[Violation]:
    """Check that each link returns the announced bytes, and that these are the stems of the job's song."""
    for job in evidence.plan.jobs:
        if job.is_deleted:
            continue
        # Only the stand-in's stems without a choice of model or output are known beforehand.
        is_known = CHOSEN[job.choice].is_plain and not evidence.plan.options.real_engine
        expected = songs.stem_digests(job) if is_known else {}
        for body in {c.body for c in evidence.callbacks.get(job.number, [])}:
            for name, stem in json.loads(body).get("stems", {}).items():
                yield from _wrong_stem(f"job {job.number} {name}", stem, expected.get(name), evidence)


def wrong_choices(evidence: Evidence) -> Iterator[Violation]:
    """Check that each callback tells what its job's user chose, and each result what priority."""
    priorities = {str(result.task_uuid): result.priority for result in evidence.ledger.results}
    for job in evidence.plan.jobs:
        found = priorities.get(evidence.task_uuids.get(job.number, ""), job.priority)
        if found != job.priority:
            text = f"job {job.number}: the result has priority {found} in place of {job.priority}"
            yield Violation("choice", text)
    for job in evidence.plan.jobs:
        for body in {c.body for c in evidence.callbacks.get(job.number, [])}:
            for text in _wrongly_told(job, json.loads(body)):
                yield Violation("choice", f"job {job.number} ({job.choice}): the callback tells {text}")


def _wrongly_told(job: Job, told: dict[str, Any]) -> Iterator[str]:
    if told.get("label") != choices.label(job):
        yield f"label {told.get('label')!r}"
    if told.get("metadata") != {"job": job.number}:
        yield f"metadata {told.get('metadata')}"
    if told["status"] == "success":
        yield from _not_as_chosen(CHOSEN[job.choice], told)


def _not_as_chosen(chosen: Chosen, told: dict[str, Any]) -> Iterator[str]:
    if set(told["stems"]) != chosen.stems:
        yield f"stems {sorted(told['stems'])}"
    models = tuple(model["name"] for model in told["models"])
    if chosen.models and models != chosen.models:
        yield f"models {models}"
    if not chosen.output.items() <= told["output"].items():
        yield f"output {told['output']}"
    lengths_s = {stem["duration_s"] for stem in told["stems"].values()}
    if chosen.duration_s is not None and lengths_s != {chosen.duration_s}:
        yield f"lengths {lengths_s}"


def _wrong_stem(
    name: str, stem: dict[str, Any], expected: str | None, evidence: Evidence
) -> Iterator[Violation]:
    found = evidence.objects.get(stem["url"], "not fetched")
    if found != stem["sha256"]:
        yield Violation("stem", f"{name}: announced {stem['sha256']}, the link gives {found}")
    elif expected not in (None, stem["sha256"]):
        yield Violation("stem", f"{name}: not what its song makes")
