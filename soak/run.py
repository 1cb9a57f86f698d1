"""Runs one soak from its plan to its report."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka.errors import KafkaError

from soak import checks, evidence, faults, ledger, reading, table
from soak.asking import Asking
from soak.client import Users
from soak.evidence import Evidence
from soak.house import STAND_IN_PROCESSOR, House
from soak.leftovers import strays
from soak.outside import Callback, Outside
from soak.plan import Options, Plan
from soak.planning import make_plan
from soak.table import Course
from soak.tidying import Life, await_tidiness, sweep_downloads, sweep_stage, sweep_uploads
from soak.violation import Violation

log = logging.getLogger(__name__)

_TICK_S = 0.05
_LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Report:
    """The violations of a soak, and its table as text."""

    violations: list[Violation]
    text: str


def soak(options: Options, directory: Path, forked: bool = False) -> Report:
    """Run a soak with all its files below `directory`, and leave them there; for `forked` see House."""
    plan = make_plan(options)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "plan.json").write_text(plan.to_json())
    outside = Outside(plan)
    house = House(directory, options, _commands(options), outside.origins, forked)
    try:
        log.info("starting everything in %s", directory)
        house.start()
        asking = Asking(house.services["api"].url, house.sign_ins)
        users = Users(asking, plan, outside)
        began_s = time.monotonic()
        users.start()
        _disturb(plan, house)
        drained = _drain(options, house, users, outside)
        # An api gives the order to call a batch's hook a few seconds after its last song has ended.
        reading.await_calls(asking, plan, users.batches.taken)
        drained = drained and _drain(options, house, users, outside)
        duration_s = time.monotonic() - began_s
        users.stop()
        return _look(plan, house, outside, users, asking, drained, duration_s)
    finally:
        house.kill_all()
        outside.close()


def _commands(options: Options) -> dict[str, tuple[str, ...]]:
    commands = {"processor": (STAND_IN_PROCESSOR,), "uploader": ("uploader",)}
    if options.real_engine:
        commands["processor"] = ("processor",)
    for kind, known in (("processor", faults.PROCESSORS), ("uploader", faults.UPLOADERS)):
        if chosen := [name for name in options.faults if name in known]:
            commands[kind] = ("soak.faults", *chosen)
    return commands


def _disturb(plan: Plan, house: House) -> None:
    began_s = time.monotonic()
    waiting = list(reversed(plan.disturbances))
    while (now_s := time.monotonic() - began_s) < plan.options.horizon_s:
        while waiting and waiting[-1].at_s <= now_s:
            house.begin(waiting.pop())
        house.tick()
        time.sleep(_TICK_S)
    house.recover()
    log.info("%d disturbances are over", len(house.happened))


def _drain(options: Options, house: House, users: Users, outside: Outside) -> bool:
    """Wait until all jobs are submitted and no record waits.

    Returns False when no callback came for `patience_s` before that.
    """
    settings = ledger.settings_of(house.settings)
    came, since_s = 0, time.monotonic()
    while time.monotonic() - since_s < options.patience_s:
        house.tick()
        if outside.callback_count != came:
            came, since_s = outside.callback_count, time.monotonic()
        try:
            if users.done and ledger.is_drained(settings):
                return True
        except KafkaError as error:
            log.warning("cannot read the lag: %r", error)
        time.sleep(_LOOK_EVERY_S)
    house.dump_threads()
    return False


def _look(
    plan: Plan, house: House, outside: Outside, users: Users, asking: Asking, drained: bool, duration_s: float
) -> Report:
    batches = users.batches.taken
    await_tidiness(house, lambda: _left_in_bucket(plan, house, outside, users))
    callbacks = outside.callbacks()
    swept = sweep_stage(plan, house) + sweep_uploads(house, _lives(users, callbacks), asking.repeated_forms)
    house.tick()
    bodies = [json.loads(c.body) for found in callbacks.values() for c in found]
    attempts, overstays, rebalances = evidence.read_logs(house)
    assert attempts, "the logs have no attempt, so kills cannot be matched to attempts"
    unexplained = sweep_downloads(house, attempts)
    stage, temporary = (
        evidence.files_below(house.stage) + swept,
        evidence.temporary_files(house) + unexplained,
    )
    shown = reading.look(asking, plan, users.task_uuids, batches)
    house.stop_services()
    found = Evidence(
        plan=plan,
        task_uuids=dict(users.task_uuids),
        callbacks=callbacks,
        ledger=ledger.read(ledger.settings_of(house.settings)),
        states={task_uuid: task["state"] for task_uuid, task in shown.tasks.items()},
        deleted={task_uuid for task_uuid, task in shown.tasks.items() if task.get("deleted_at")},
        objects=evidence.fetch_all(evidence.announced_urls(bodies)),
        unfinished=evidence.unfinished_uploads(house),
        stage=stage,
        bucket=_left_in_bucket(plan, house, outside, users),
        temporary=temporary,
        attempts=attempts,
        overstays=overstays,
        happened=house.happened,
        incidents=[*house.incidents, *asking.refusals],
        drained=drained,
        batches=dict(batches),
        batch_callbacks=outside.batch_callbacks(),
        shown_batches=shown.batches,
        refusals=dict(users.batches.answers),
        mismatches=list(users.batches.mismatches),
        refused_requests=outside.refused_requests(),
        intrusions=shown.intrusions,
        repeated=asking.repeats,
    )
    violations = checks.violations(found)
    text = table.render(found, violations, Course(duration_s, rebalances, asking.repeats.total()))
    return Report(violations, text)


def _left_in_bucket(plan: Plan, house: House, outside: Outside, users: Users) -> list[str]:
    told = [json.loads(calls[-1].body) for calls in outside.callbacks().values()]
    deleted = {users.task_uuids.get(job.number, "") for job in plan.jobs if job.is_deleted}
    taken = users.batches.taken
    called = [taken[b.number].batch_uuid for b in plan.batches if b.hook is not None and b.number in taken]
    store = house.store.address
    return strays(store.object_keys(), store.bucket, told, deleted, called)


def _lives(users: Users, callbacks: Mapping[int, Sequence[Callback]]) -> dict[str, Life]:
    return {
        task_uuid: Life(users.sent_at_s[number], callbacks[number][-1].at_s)
        for number, task_uuid in users.task_uuids.items()
        if number in callbacks
    }
