"""A soak in which nothing was tried shows nothing, and is not sound."""

import pytest

from common.tasks.messages import Separated
from soak import checks
from soak.disturbances import Kind
from soak.evidence import Evidence
from soak.house import Happened
from soak.plan import Options
from soak.planning import make_plan
from soak.trials import FEWEST_JOBS, untried
from tests.support.soak_evidence import UUID_1, UUID_2, evidence, ledger

KINDS = {
    "kill of a service",
    "freeze of a service",
    "stop of a service",
    "outage of the broker",
    "outage of the store",
    "song from the cache",
    "cancelled song",
    "deletion",
}


def names(found: Evidence) -> set[str]:
    return {violation.text.partition(":")[0] for violation in untried(found)}


def test_all_that_was_planned_and_never_took_place_is_named():
    found = evidence(plan=make_plan(Options(jobs=FEWEST_JOBS)))
    assert names(found) == KINDS
    assert {violation.text.partition(":")[0] for violation in checks.violations(found)} >= KINDS


def test_what_was_not_planned_is_not_missed():
    calm = make_plan(Options(jobs=FEWEST_JOBS, calm=True))
    assert names(evidence(plan=calm)) == {"song from the cache", "cancelled song", "deletion"}
    assert not names(evidence(plan=make_plan(Options(jobs=FEWEST_JOBS - 1))))


HIT = Separated(
    task_uuid=UUID_1, hook_url="http://h", submitted_at=0, finished_at=1, stems={}, model="m", device="d",
    cached_from=UUID_2, user="anna",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"happened": [Happened("api", Kind.KILL, 1, 2)]}, "kill of a service"),
        ({"happened": [Happened("uploader-1", Kind.FREEZE, 1, 2)]}, "freeze of a service"),
        ({"happened": [Happened("processor-2", Kind.STOP, 1, 2)]}, "stop of a service"),
        ({"happened": [Happened("broker", Kind.KILL, 1, 2)]}, "outage of the broker"),
        ({"happened": [Happened("store", Kind.KILL, 1, 2)]}, "outage of the store"),
        ({"ledger": ledger(results=[HIT])}, "song from the cache"),
        ({"callbacks": evidence("cancelled").callbacks}, "cancelled song"),
        ({"deleted": {str(UUID_1)}}, "deletion"),
    ],
)
def test_what_took_place_once_was_tried(changes, kind):
    found = evidence(plan=make_plan(Options(jobs=FEWEST_JOBS)), **changes)
    assert names(found) == KINDS - {kind}
