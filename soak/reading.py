"""Asks the api, as the users at a soak's end, for what they may see and for what they must not."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soak.accounts import ACCOUNTS
from soak.asking import Asking
from soak.batch_sender import TakenBatch
from soak.plan import Plan

# Other users ask for one task in so many, in one of these ways in turn, and for each batch.
_SAMPLE = 7
_TASK_WAYS = (
    ("GET", ""),
    ("GET", "/deliveries"),
    ("POST", "/cancel"),
    ("GET", "/peaks.json"),
    ("DELETE", ""),
    ("GET", "/archive.zip"),
    ("POST", "/redeliver"),
)
_BATCH_WAYS = (("GET", ""), ("POST", "/cancel"))
_PAGE = 200
_NOT_FOUND = 404
_LOOK_EVERY_S = 1.0
_CALL_PATIENCE_S = 30.0
# The api's view may be a moment behind the last record.
_END_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Shown:
    """The answers of the api: tasks by their ids and batches by their numbers, as their own users see them.

    `intrusions` tells of each thing that a user saw and must not see, or did not see.
    """

    tasks: dict[str, dict[str, Any]]
    batches: dict[int, dict[str, Any]]
    intrusions: list[str]


def look(asking: Asking, plan: Plan, task_uuids: Mapping[int, str], taken: Mapping[int, TakenBatch]) -> Shown:
    """Ask as each user."""
    shown = Shown({}, {}, [])
    for job in plan.jobs:
        if task_uuid := task_uuids.get(job.number):
            status, found = asking.look(f"/tasks/{task_uuid}", job.user, job.number)
            if status == 200:
                shown.tasks[task_uuid] = found
            else:
                shown.intrusions.append(f"{job.user} gets {status} for the own task {task_uuid}")
    for batch in plan.batches:
        if batch.number in taken:
            path = f"/batches/{taken[batch.number].batch_uuid}"
            status, found = asking.look(path, batch.user)
            if status == 200:
                shown.batches[batch.number] = found
            else:
                shown.intrusions.append(f"{batch.user} gets {status} for the own batch {path}")
            for method, way in _BATCH_WAYS:
                _look_at_anothers(asking, batch.user, method, path + way, shown)
    ways = itertools.cycle(_TASK_WAYS)
    for job in plan.jobs[::_SAMPLE]:
        if task_uuid := task_uuids.get(job.number):
            method, way = next(ways)
            _look_at_anothers(asking, job.user, method, f"/tasks/{task_uuid}{way}", shown)
    owners = {task_uuids[job.number]: job.user for job in plan.jobs if job.number in task_uuids}
    for account in ACCOUNTS:
        _look_at_list(asking, account.name, owners, shown)
    return shown


def await_calls(asking: Asking, plan: Plan, taken: Mapping[int, TakenBatch]) -> None:
    """Wait a while until an uploader was told to call each batch's hook.

    A batch that is not over though no record waits is not waited for: it never will be.
    """
    began_s = time.monotonic()
    waiting = {
        batch.number: batch for batch in plan.batches if batch.hook is not None and batch.number in taken
    }
    while waiting and (waited_s := time.monotonic() - began_s) < _CALL_PATIENCE_S:
        for number, batch in list(waiting.items()):
            status, found = asking.look(f"/batches/{taken[number].batch_uuid}", batch.user)
            is_hopeless = not found.get("is_over") and waited_s > _END_PATIENCE_S
            if status == 200 and ("called_at" in found or is_hopeless):
                del waiting[number]
        time.sleep(_LOOK_EVERY_S if waiting else 0)


def _look_at_anothers(asking: Asking, owner: str, method: str, path: str, shown: Shown) -> None:
    """Ask for what is the owner's as each other user. Nobody may learn that it is there."""
    for account in ACCOUNTS:
        if account.name != owner:
            status, found = asking.look(path, account.name, method=method)
            if status != _NOT_FOUND:
                shown.intrusions.append(
                    f"{account.name} gets {status} for {method} {path} of {owner}: {str(found)[:200]}"
                )


def _look_at_list(asking: Asking, user: str, owners: Mapping[str, str], shown: Shown) -> None:
    """Read all pages of the user's list: exactly the user's own tasks must be on them, each once."""
    path: str | None = f"/tasks?limit={_PAGE}"
    listed: list[dict[str, Any]] = []
    while path:
        status, page = asking.look(path, user)
        if status != 200:
            shown.intrusions.append(f"{user} gets {status} for the list: {str(page)[:200]}")
            return
        listed += page["tasks"]
        path = page.get("next")
    found = [task["task_uuid"] for task in listed]
    own = {task_uuid for task_uuid, owner in owners.items() if owner == user}
    for what, ids in (
        ("misses", own - set(found)),
        ("has others' or nobody's", set(found) - own),
        ("has twice", {one for one in found if found.count(one) > 1}),
        ("has under another name", {task["task_uuid"] for task in listed if task["user"] != user}),
    ):
        if ids:
            shown.intrusions.append(f"the list of {user} {what}: {sorted(ids)[:5]} ({len(ids)})")
