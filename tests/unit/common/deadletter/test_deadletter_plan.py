"""A replay takes one letter of each task, once, as the task's next run."""

import json
import math
import random
import re
from functools import partial
from uuid import UUID

import pytest

from common.deadletter.dead_letter import LetterId, parse
from common.deadletter.mailbox import Mailbox, place
from common.deadletter.plan import Filter, Outdone, Refused, Replay, Replayed, plan
from common.jobs import dead_letters, retry
from common.kafka.records import Record
from common.settings.schema import KafkaSettings
from common.tasks.messages import Deletion, Redelivery, State, Task
from tests.support.common.deadletter.dead_letters import (
    DEAD,
    NOW_S,
    ONE,
    OTHER,
    RESULTS,
    TASKS,
    at,
    failed,
    letter_record,
    mark,
    redelivery,
    separated,
    task,
)

SETTINGS = KafkaSettings()


def planned(*records: Record, again: bool = False, wanted=Filter()) -> list:  # noqa: B008 - it is frozen
    return plan(Mailbox.of(records, SETTINGS), wanted, again)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (letter_record(task().to_bytes()), "task"),
        (letter_record(task().to_bytes(), topic=f"{TASKS}_retry_30s"), "task"),
        (letter_record(task().to_bytes(), topic=f"{TASKS}_p5"), "task"),
        (letter_record(separated().to_bytes(), topic=RESULTS, code="storage_error"), "result"),
        (letter_record(failed().to_bytes(), topic=RESULTS, code="callback_failed"), "callback"),
        (letter_record(separated().to_bytes(), topic=RESULTS, code="callback_gone"), "callback"),
        (letter_record(redelivery().to_bytes(), topic=RESULTS, code="callback_failed"), "redelivery"),
        (letter_record(b"\xff", code="invalid_message"), "undecodable"),
        (letter_record(task().to_bytes(), topic=RESULTS, code="invalid_message"), "undecodable"),
        (letter_record(task().to_bytes(), topic="elsewhere"), "task"),
    ],
)
def test_a_letter_is_of_the_kind_that_its_topic_and_error_tell(record, kind):
    assert parse(record, SETTINGS).kind == kind


def test_a_replay_goes_to_the_first_topic_as_the_next_run_without_its_history():
    waited = (("trace", b"7"), (retry.TRIES, b'{"job":3}'), (retry.ORIGIN, f"{TASKS}_retry_30s/1/2".encode()))
    (decision,) = planned(letter_record(task().to_bytes(), topic=f"{TASKS}_retry_30s", headers=waited))
    again, its_mark = decision.messages(DEAD)
    assert (again.topic, again.key, again.headers) == (TASKS, b"k", (("trace", b"7"),))
    assert Task.model_validate_json(again.value) == task(run=2)
    assert (its_mark.topic, its_mark.key) == (DEAD, b"k")


@pytest.mark.parametrize("origin", [f"{TASKS}_p5", f"{TASKS}_retry_30s", TASKS])
def test_a_replay_keeps_the_lane_of_its_task(origin):
    urgent = task().model_copy(update={"priority": 5})
    (decision,) = planned(letter_record(urgent.to_bytes(), topic=origin))
    again, _ = decision.messages(DEAD)
    assert again.topic == f"{TASKS}_p5"
    assert Task.model_validate_json(again.value) == urgent.model_copy(update={"run": 2})


def test_a_replay_keeps_the_fields_that_only_a_newer_version_knows():
    value = json.dumps({**json.loads(separated().to_bytes()), "later": {"x": 1}}).encode()
    (decision,) = planned(letter_record(value, topic=RESULTS))
    again = decision.messages(DEAD)[0]
    assert json.loads(again.value) == {**json.loads(value), "run": 2}


def test_a_replay_has_no_deadline():
    late = task().model_copy(update={"cancel_at": 5.0})
    (decision,) = planned(letter_record(late.to_bytes()))
    assert Task.model_validate_json(decision.messages(DEAD)[0].value) == task(run=2)


def test_a_key_that_was_cut_off_is_the_task_again():
    (decision,) = planned(letter_record(task().to_bytes(), key=b"k" * 40_000))
    assert decision.messages(DEAD)[0].key == str(ONE).encode()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (letter_record(b"{}", reason="task_uuid: Field required"), "no message.*task_uuid: Field required"),
        (letter_record(b"x" * 950_000), "only the beginning of its 950000 bytes"),
        (letter_record(task().to_bytes(), topic="elsewhere"), "elsewhere/5/9.*neither"),
        (letter_record(task().to_bytes(), topic=f"{TASKS}_retry_xs"), "neither"),
        (letter_record(task().to_bytes(), headers=[(retry.ORIGIN, b"no place")]), "neither"),
        (at(0, dead_letters.bare_letter(DEAD, Record(TASKS, 5, 9, b"k", b"v"), "x", "y", 1)), "no message"),
    ],
)
def test_what_cannot_be_done_again_is_refused_with_its_reason(record, reason):
    (decision,) = planned(record)
    assert isinstance(decision, Refused)
    assert re.search(reason, decision.reason)


def test_of_several_letters_of_a_task_the_newest_is_replayed():
    first, second, other = planned(
        letter_record(task().to_bytes(), 1),
        letter_record(task().to_bytes(), 2),
        letter_record(task(OTHER).to_bytes(), 3),
    )
    assert first == Outdone(first.letter, LetterId(3, 2))
    assert (second.task_uuid, second.run) == (ONE, 2)
    assert (other.task_uuid, other.run) == (OTHER, 2)


def test_a_letter_that_cannot_be_replayed_stands_in_no_other_letters_way():
    work, poison = planned(letter_record(task().to_bytes(), 1), letter_record(b"?", 2, key=str(ONE).encode()))
    assert isinstance(work, Replay)
    assert isinstance(poison, Refused)


def test_the_work_is_replayed_rather_than_the_news_of_its_failure():
    work, news = planned(
        letter_record(task().to_bytes(), 1),
        letter_record(failed().to_bytes(), 2, topic=RESULTS, code="callback_failed"),
    )
    assert isinstance(work, Replay)
    assert isinstance(news, Outdone)


def test_a_letter_of_a_later_run_is_replayed_rather_than_one_of_an_earlier():
    earlier, later = planned(letter_record(task().to_bytes(), 2), letter_record(task(run=2).to_bytes(), 1))[
        ::-1
    ]
    assert isinstance(earlier, Outdone)
    assert later.run == 3


def test_a_replayed_letter_is_not_replayed_again_unless_that_is_asked_for():
    records = letter_record(task().to_bytes(), 1), mark(1, 2, 2)
    assert [type(d) for d in planned(*records)] == [Replayed]
    (decision,) = planned(*records, again=True)
    assert (decision.run, decision.earlier_run) == (3, 2)


def test_a_replay_takes_the_place_of_every_letter_of_an_earlier_run():
    records = (
        letter_record(task().to_bytes(), 1),
        letter_record(failed().to_bytes(), 2, topic=RESULTS),
        mark(1, 2, 3),
    )
    only_news = Filter(ids=frozenset([LetterId(3, 2)]))
    (decision,) = planned(*records, wanted=only_news)
    assert decision == Replayed(decision.letter, 2)


def test_the_letter_of_a_replayed_run_can_be_replayed_in_turn():
    decisions = planned(
        letter_record(task().to_bytes(), 1), mark(1, 2, 2), letter_record(task(run=2).to_bytes(), 3)
    )
    assert [type(d) for d in decisions] == [Outdone, Replay]
    assert decisions[1].run == 3


def test_a_redelivery_is_replayed_as_the_same_one_and_once():
    lost = letter_record(redelivery(run=2).to_bytes(), 1, topic=RESULTS, code="callback_failed")
    (decision,) = planned(lost)
    again, its_mark = decision.messages(DEAD)
    assert (again.topic, Redelivery.model_validate_json(again.value)) == (RESULTS, redelivery(run=2))
    records = lost, at(2, its_mark)
    assert planned(*records) == [Replayed(decision.letter, 2)]
    (once_more,) = planned(*records, again=True)
    assert (once_more.run, once_more.earlier_run) == (2, 2)


@pytest.mark.parametrize("first", [separated(), failed()])
def test_a_redelivery_gives_way_to_the_run_whose_callback_it_asks_for(first):
    taken, asked = planned(
        letter_record(first.to_bytes(), 1, topic=RESULTS, code="callback_failed"),
        letter_record(redelivery().to_bytes(), 2, topic=RESULTS, code="callback_failed"),
    )
    assert (taken.run, asked) == (2, Outdone(asked.letter, LetterId(3, 1)))


def test_a_replayed_redelivery_takes_the_place_of_no_other_letter_of_its_run():
    first = letter_record(separated().to_bytes(), 1, topic=RESULTS, code="callback_failed")
    asked = letter_record(redelivery().to_bytes(), 2, topic=RESULTS, code="callback_failed")
    decisions = planned(first, asked, mark(2, 1, 3))
    assert [type(d) for d in decisions] == [Replay, Outdone]
    assert decisions[0].run == 2


def test_no_run_of_a_task_takes_the_place_of_its_deletion():
    deletion = Deletion(task_uuid=ONE, run=1, requested_at=3.0, owner="alice", state=State.SUCCEEDED)
    records = [
        letter_record(separated().to_bytes(), 1, topic=RESULTS, code="callback_failed"),
        letter_record(deletion.to_bytes(), 2, topic=RESULTS, code="storage_error"),
        mark(1, 2, 3),
    ]
    _, decision = planned(*records)
    again, its_mark = decision.messages(DEAD)
    assert Deletion.model_validate_json(again.value) == deletion
    box = Mailbox.of(records, SETTINGS, with_replayed=False)
    assert [letter.kind for letter in box.letters] == ["deletion"]
    assert planned(*records, at(4, its_mark))[1] == Replayed(decision.letter, 1)


def test_a_run_is_above_all_that_are_known_of_its_task():
    records = letter_record(task().to_bytes(), 1), mark(1, 2, 2), mark(1, 7, 3), mark(1, 9, 4, OTHER)
    (decision,) = planned(*records, again=True)
    assert decision.run == 8


def test_a_letter_whose_record_carried_the_headers_of_a_mark_is_a_letter_still():
    record = letter_record(task().to_bytes(), headers=mark(1, 2, 2).headers)
    assert len(Mailbox.of([record], SETTINGS).letters) == 1


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(task_uuid=ONE), [1, 3]),
        (Filter(since_s=NOW_S + 2), [2, 3]),
        (Filter(error_code="storage_error"), [2]),
        (Filter(task_uuid=ONE, since_s=NOW_S + 2), [3]),
        (Filter(ids=frozenset([LetterId(3, 1), LetterId(4, 2)])), [1]),
    ],
)
def test_filters_take_what_meets_all_of_them(wanted, offsets):
    records = (
        letter_record(task().to_bytes(), 1),
        letter_record(task(OTHER).to_bytes(), 2, code="storage_error"),
        letter_record(b"?", 3, key=str(ONE).encode()),
    )
    assert [d.letter.id.offset for d in planned(*records, wanted=wanted)] == offsets


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_of_many_letters_the_newest_are_kept_and_what_was_left_out_is_behind_a_place(seed):
    tasks = [task(UUID(int=number)) for number in range(1, 1201)]
    found = [letter_record(one.to_bytes(), number) for number, one in enumerate(tasks)]
    found += [mark(number, 2, 2000 + number, tasks[number].task_uuid) for number in range(700, 1200)]
    if seed is not None:  # partitions are read one after another, so older letters may come after newer ones
        random.Random(seed).shuffle(found)
    seen: list[int] = []
    cut_at = (math.inf, LetterId(0, 0))
    while cut_at is not None:
        wanted = partial(lambda behind, one: place(one) < behind, cut_at)
        box = Mailbox.of(found, SETTINGS, wanted, most=100, with_replayed=False)
        seen += [letter.id.offset for letter in box.letters]
        cut_at = box.cut_at
    assert seen == list(range(699, -1, -1))
