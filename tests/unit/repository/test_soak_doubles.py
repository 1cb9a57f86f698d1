"""What the soak takes for seen twice: a song that is queued again, and a hook that is called again."""

import dataclasses
from collections import Counter

import pytest

from soak.disturbances import Kind
from soak.doubles import AFTERMATH_S
from soak.evidence import Evidence
from soak.house import CALLBACK_RETRIES, Happened
from soak.ledger import Letter
from soak.plan import Hook, Options, Plan
from tests.support.soak_evidence import JOB, UUID_1, evidence, failed, kinds, ledger

DELIVERY = evidence().ledger.deliveries[0]
LATE = DELIVERY.model_copy(update={"status": None, "error_code": "callback_failed", "next_try_at": 9.0})
DIED = Happened("uploader-1", Kind.KILL, at_s=101, until_s=103)


def called(*at_s: float, hook: Hook = Hook.HEALTHY, **changes: object) -> Evidence:
    """Calls of one job's hook at these times, all with the same bytes. Its first two calls may be refused."""
    first = evidence().callbacks[0][0]
    job = dataclasses.replace(JOB, hook=hook, hook_failures=2)
    calls = [dataclasses.replace(first, at_s=at, place=place) for place, at in enumerate(at_s)]
    return evidence(**{"plan": Plan(Options(jobs=1), (job,), ()), "callbacks": {0: calls}, **changes})


@pytest.mark.parametrize("calm", [True, False])
def test_the_same_callback_again_without_a_reason_is_named(calm):
    options = Options(jobs=1, calm=calm)
    assert not kinds(called(100, plan=Plan(options, (JOB,), ())))
    assert kinds(called(100, 101, plan=Plan(options, (JOB,), ()))) == {"doubled"}
    assert kinds(called(*range(100, 150), plan=Plan(options, (JOB,), ()))) == {"doubled"}


@pytest.mark.parametrize(
    ("hook", "needed", "letters"),
    [
        (Hook.HEALTHY, 1, []),
        (Hook.ERRORS_AT_FIRST, 3, []),
        (Hook.SILENT_AT_FIRST, 3, []),
        (Hook.RESETS_AT_FIRST, 3, []),
        (Hook.GONE, 1, [Letter(str(UUID_1), "callback_gone")]),
        (Hook.DEAD, CALLBACK_RETRIES + 1, [Letter(str(UUID_1), "callback_failed")]),
    ],
)
def test_a_hook_is_called_as_often_as_it_refuses_and_once_more(hook, needed, letters):
    planned = [LATE] * 2 if hook in (Hook.SILENT_AT_FIRST, Hook.RESETS_AT_FIRST) else []
    parts = ledger(letters=letters, deliveries=[*planned, DELIVERY])
    assert not kinds(called(*range(needed), hook=hook, ledger=parts))
    assert kinds(called(*range(needed + 1), hook=hook, ledger=parts)) == {"doubled"}


@pytest.mark.parametrize(
    ("happened", "calls", "verdict"),
    [
        ([DIED], (100, 105), set()),
        ([DIED], (100, 105, 106), {"doubled"}),
        ([DIED, DIED], (100, 105, 106), set()),
        ([dataclasses.replace(DIED, target="broker")], (100, 105), set()),
        ([dataclasses.replace(DIED, target="store")], (100, 105), set()),
        ([dataclasses.replace(DIED, target="processor-1")], (100, 105), {"doubled"}),
        ([dataclasses.replace(DIED, target="api")], (100, 105), {"doubled"}),
        ([dataclasses.replace(DIED, at_s=106, until_s=107)], (100, 105), {"doubled"}),
        ([dataclasses.replace(DIED, at_s=1, until_s=99 - AFTERMATH_S)], (100, 105), {"doubled"}),
    ],
)
def test_each_disturbance_on_the_way_explains_one_more_call(happened, calls, verdict):
    assert kinds(called(*calls, happened=happened)) == verdict


def test_a_try_that_got_no_answer_in_time_explains_one_more_call():
    assert not kinds(called(100, 105, ledger=ledger(deliveries=[LATE, DELIVERY])))
    not_posted = LATE.model_copy(update={"error_code": "storage_error"})
    assert kinds(called(100, 105, ledger=ledger(deliveries=[not_posted, DELIVERY]))) == {"doubled"}
    taken = LATE.model_copy(update={"status": 204})
    assert kinds(called(100, 105, ledger=ledger(deliveries=[taken, DELIVERY]))) == {"doubled"}


def test_a_song_is_queued_as_often_as_it_was_sent():
    tasks = evidence().ledger.tasks * 2
    twice = ledger(tasks=tasks, results=[failed("http_error")] * 2, deliveries=[DELIVERY] * 2)
    assert kinds(called(100, 101, ledger=twice)) == {"doubled"}
    assert not kinds(called(100, 101, ledger=twice, repeated=Counter({"job 0": 1})))
