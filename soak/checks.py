"""Checks a soak's evidence against what must be true after it, and returns the violations."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from common.tasks.messages import Separated, SeparationFailed
from soak.batch_checks import wrong_batches
from soak.disturbances import Kind
from soak.doubles import doubled
from soak.evidence import Attempt, Evidence
from soak.house import SETTINGS, Happened
from soak.lives import put_back, wrong_deletions
from soak.plan import LOST_HOOKS, LOST_SONGS, Job, Song
from soak.stem_checks import wrong_choices, wrong_stems
from soak.trials import untried
from soak.user_checks import intrusions
from soak.violation import Violation

_CRASH, _CANCELLED = "engine_crashed", "cancelled"
_MAX_ATTEMPTS = 3
_LOGGED_AFTER_S = 1.0
_SESSION_S = float(SETTINGS["KAFKA_SESSION_TIMEOUT_MS"]) / 1000


def violations(evidence: Evidence) -> list[Violation]:
    """Return all violations in the evidence."""
    ends = (_course, _fates, _states, _counts, doubled, _callbacks, _crashes)
    others = (wrong_stems, wrong_choices, wrong_deletions, wrong_batches, intrusions, _leftovers, untried)
    parts = (*ends, *others)
    return [violation for part in parts for violation in part(evidence)]


def _course(evidence: Evidence) -> Iterator[Violation]:
    if not evidence.drained:
        yield Violation("not drained", "some records still waited or ran after the time allowed")
    if not evidence.ledger.commits:
        yield Violation(
            "nothing was read", "no commit of an offset was found, so none could be seen to go back"
        )


def _fates(evidence: Evidence) -> Iterator[Violation]:
    """Check that each job had the one end that its host and its receiver allow."""
    cancelled = {batch.number for batch in evidence.plan.batches if batch.cancelled_after_s is not None}
    letters = defaultdict(set)
    for letter in evidence.ledger.letters:
        letters[letter.task_uuid].add(letter.error_code)
    for job in evidence.plan.jobs:
        task_uuid = evidence.task_uuids.get(job.number)
        among = "" if job.batch is None else f" in batch {job.batch}"
        name = f"job {job.number} of {job.user}{among} ({job.song}; hook {job.hook}; {task_uuid})"
        callbacks = evidence.callbacks.get(job.number, [])
        wanted_letter = LOST_HOOKS.get(job.hook)
        if task_uuid is None:
            yield Violation("lost", f"{name}: the api never took it")
        elif not callbacks:
            yield Violation("lost", f"{name}: no callback")
        elif wanted_letter and wanted_letter not in letters[task_uuid]:
            yield Violation("lost", f"{name}: no dead letter {wanted_letter}")
        elif not wanted_letter and len(callbacks) <= _refused(job):
            yield Violation("lost", f"{name}: no callback that the receiver took")
        else:
            body = json.loads(callbacks[-1].body)
            if not (body.get("error_code") == _CANCELLED and job.batch in cancelled):
                yield from _wrong_end(job, name, body, letters[task_uuid])


def _states(evidence: Evidence) -> Iterator[Violation]:
    """Check that the api shows each task's state as the callback does."""
    for number, callbacks in evidence.callbacks.items():
        task_uuid = evidence.task_uuids.get(number, "")
        state, told = evidence.states.get(task_uuid), _state_told(json.loads(callbacks[-1].body))
        if state != told:
            yield Violation("wrong state", f"{task_uuid}: the callback says {told}, the api {state}")


def _state_told(body: dict[str, Any]) -> str:
    if body["status"] == "success":
        return "succeeded"
    return "cancelled" if body["error_code"] == _CANCELLED else "failed"


def _refused(job: Job) -> int:
    return job.hook_failures if job.hook.endswith("at first") else 0


def _wrong_end(job: Job, name: str, body: dict[str, Any], letters: set[str]) -> Iterator[Violation]:
    code = body.get("error_code")
    if code == _CRASH:
        return  # `_crashes` checks these
    if code != LOST_SONGS.get(job.song):
        yield Violation("wrong end", f"{name}: {body['status']} {code} {body.get('error_message', '')}")
    if job.song in (Song.UNAVAILABLE, Song.DEAD) and code not in letters:
        yield Violation("lost", f"{name}: no dead letter {code}")


def _counts(evidence: Evidence) -> Iterator[Violation]:
    """Check that each task record has one result, and each result one last delivery."""
    ledger = evidence.ledger
    tasks = Counter((str(t.task_uuid), t.run) for t in ledger.tasks)
    results = _results(ledger.results)
    ends = Counter((str(d.task_uuid), d.run) for d in ledger.deliveries if d.next_try_at is None)
    ends += put_back(evidence)
    known = set(evidence.task_uuids.values())
    batches = {taken.batch_uuid for taken in evidence.batches.values()}
    ends = Counter({run: count for run, count in ends.items() if run[0] not in batches})
    for run in tasks | results | ends:
        name = f"{run[0]}.{run[1]}"
        if run[0] not in known:
            yield Violation("stray", f"{name} is no job's")
        yield from _compared(name, "tasks", tasks[run], "results", results[run])
        # A song that was queued twice may come again after its deletion, and then nobody is called.
        called = min(results[run], max(ends[run], 1)) if run[0] in evidence.deleted else results[run]
        yield from _compared(name, "results", called, "ended deliveries", ends[run])
    for text in ledger.backward:
        yield Violation("offset went back", text)


def _results(found: Sequence[Separated | SeparationFailed]) -> Counter[tuple[str, int]]:
    """Count the results of each run. Stems that a cancel has overtaken are its failure's, and not counted.

    The uploader ends such a run by a record of its own.
    """
    separated = Counter((str(r.task_uuid), r.run) for r in found if isinstance(r, Separated))
    failures = [r for r in found if isinstance(r, SeparationFailed)]
    overtaken = {(str(r.task_uuid), r.run) for r in failures if r.error_code == _CANCELLED}
    counted = Counter((str(r.task_uuid), r.run) for r in failures)
    return counted + (separated - Counter(overtaken))


def _compared(
    name: str, causes: str, cause_count: int, effects: str, effect_count: int
) -> Iterator[Violation]:
    said = f"{name} has {cause_count} {causes} and {effect_count} {effects}"
    if effect_count > cause_count:
        yield Violation("doubled", said)
    elif effect_count < cause_count:
        yield Violation("lost", said)


def _callbacks(evidence: Evidence) -> Iterator[Violation]:
    """Check that all callbacks of a run have one id and the same bytes."""
    for number, callbacks in evidence.callbacks.items():
        name = f"job {number}"
        task_uuid = evidence.task_uuids.get(number)
        if any(c.about != task_uuid for c in callbacks):
            yield Violation("callback", f"{name} got another task's: {[c.about for c in callbacks]}")
        if unsigned := sum(not c.is_signed for c in callbacks):
            yield Violation("callback", f"{name}: {unsigned} callbacks have no valid signature")
        if ids := {c.webhook_id for c in callbacks} - {f"{task_uuid}.1"}:
            yield Violation("callback", f"{name} has other ids: {sorted(ids)}")
        bodies = Counter(c.body for c in callbacks)
        if len(bodies) > 1:
            shown = "; ".join(body.decode(errors="replace")[:300] for body in bodies)
            yield Violation("callback", f"{name} got {len(bodies)} different bodies: {shown}")


def _crashes(evidence: Evidence) -> Iterator[Violation]:
    """Check that a song failed for crashes only where three of its attempts ended with their worker.

    A worker that is frozen for longer than its session counts as dead: its group cannot tell the difference.
    So does a worker whose grace ran out while the broker was away: it could not hand its jobs back.
    """
    attempts = defaultdict(list)
    for attempt in evidence.attempts:
        attempts[attempt.task_uuid].append(attempt)
    for result in evidence.ledger.results:
        task_uuid = str(result.task_uuid)
        if getattr(result, "error_code", None) != _CRASH:
            continue
        seen = attempts[task_uuid]
        unseen = set(range(1, _MAX_ATTEMPTS + 1)) - {a.number for a in seen}
        ends = [_how_it_ended(a, [*seen, None][n + 1], evidence) for n, a in enumerate(seen)]
        if ends.count(Kind.KILL) + ends.count(Kind.FREEZE) + len(unseen) < _MAX_ATTEMPTS:
            said = "; ".join(
                f"attempt {a.number} at {a.worker}: {end or 'undisturbed'}"
                for a, end in zip(seen, ends, strict=True)
            )
            yield Violation("unfair crash", f"{task_uuid} ({result.error_message}): {said}")


def _how_it_ended(attempt: Attempt, following: Attempt | None, evidence: Evidence) -> Kind | None:
    """Return the first disturbance that cost the attempt its lease, before the task was taken again.

    A kill that follows a freeze longer than the session has no effect on the attempt.
    """
    until_s = following.at_s if following else float("inf")
    for h in evidence.happened:
        is_brief = h.kind is Kind.FREEZE and h.until_s - h.at_s < _SESSION_S
        # An attempt is logged after its commit, so a thawed worker may log one that began before the freeze.
        met_s = h.until_s + _LOGGED_AFTER_S if h.kind is Kind.FREEZE else h.at_s
        if h.target == attempt.worker and h.at_s <= until_s and met_s >= attempt.at_s and not is_brief:
            return Kind.KILL if h.kind is Kind.STOP and _could_not_hand_back(h, until_s, evidence) else h.kind
    return None


def _could_not_hand_back(stop: Happened, until_s: float, evidence: Evidence) -> bool:
    """Tell whether the grace of a stop ran out while the broker was away."""
    return any(
        overstay.worker == stop.target and stop.at_s <= overstay.at_s <= until_s and h.at_s <= overstay.at_s
        for overstay in evidence.overstays
        for h in evidence.happened
        if h.target == "broker" and h.until_s >= stop.at_s
    )


def _leftovers(evidence: Evidence) -> Iterator[Violation]:
    for what, found in (
        ("left in the stage", evidence.stage),
        ("left in the bucket", evidence.bucket),
        ("left in the temporary directories", evidence.temporary),
        ("unfinished upload", evidence.unfinished),
        ("process", evidence.incidents),
    ):
        for text in found:
            yield Violation(what, text)
