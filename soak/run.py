"""Runs one soak from its plan to its report."""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from kafka.errors import KafkaError

from soak import checks, evidence, faults, ledger, table
from soak.client import Users
from soak.evidence import Evidence
from soak.house import STAND_IN_PROCESSOR, House
from soak.outside import Outside
from soak.plan import Options, Plan, make_plan
from soak.table import Course
from soak.tidying import await_tidiness, sweep_downloads, sweep_stage, sweep_uploads
from soak.violation import Violation

log = logging.getLogger(__name__)

_TICK_S = 0.05
_LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Report:
    """The violations of a soak, and its table as text."""

    violations: list[Violation]
    text: str


def soak(options: Options, directory: Path) -> Report:
    """Run a soak with all its files below `directory`, and leave them there."""
    plan = make_plan(options)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "plan.json").write_text(plan.to_json())
    outside = Outside(plan.jobs)
    house = House(directory, options, _commands(options), outside.origins)
    try:
        log.info("starting everything in %s", directory)
        house.start()
        users = Users(house.services["api"].url, plan.jobs, outside.audio_urls, outside.hook_urls)
        began_s = time.monotonic()
        users.start()
        _disturb(plan, house)
        drained = _drain(options, house, users, outside)
        duration_s = time.monotonic() - began_s
        users.stop()
        return _look(plan, house, outside, users, drained, duration_s)
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
    plan: Plan, house: House, outside: Outside, users: Users, drained: bool, duration_s: float
) -> Report:
    ours = set(users.task_uuids.values())
    deleted = {uuid for job in plan.jobs if job.is_deleted and (uuid := users.task_uuids.get(job.number))}
    await_tidiness(house, ours, deleted)
    swept = sweep_stage(plan, house) + sweep_uploads(house)
    house.tick()
    callbacks = outside.callbacks()
    bodies = [json.loads(c.body) for found in callbacks.values() for c in found]
    attempts, overstays, rebalances = evidence.read_logs(house)
    assert attempts, "the logs have no attempt, so kills cannot be matched to attempts"
    unexplained = sweep_downloads(house, attempts)
    stage, temporary = (
        evidence.files_below(house.stage) + swept,
        evidence.temporary_files(house) + unexplained,
    )
    shown = evidence.tasks(house, ours)
    house.stop_services()
    found = Evidence(
        plan=plan,
        task_uuids=dict(users.task_uuids),
        callbacks=callbacks,
        ledger=ledger.read(ledger.settings_of(house.settings)),
        states={task_uuid: task["state"] for task_uuid, task in shown.items()},
        deleted={task_uuid for task_uuid, task in shown.items() if task.get("deleted_at")},
        objects=evidence.fetch_all(evidence.announced_urls(bodies)),
        unfinished=evidence.unfinished_uploads(house),
        stage=stage,
        bucket=evidence.left_in_bucket(house, ours, deleted),
        temporary=temporary,
        attempts=attempts,
        overstays=overstays,
        happened=house.happened,
        incidents=[*house.incidents, *users.refusals],
        drained=drained,
    )
    violations = checks.violations(found)
    text = table.render(found, violations, Course(duration_s, rebalances, users.repeats))
    return Report(violations, text)
