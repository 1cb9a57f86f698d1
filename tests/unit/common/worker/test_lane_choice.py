"""The choice of a lane: shares by weight, the most urgent first, and none starves."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.kafka.lanes import PRIORITIES, WEIGHTS
from common.worker.lane_choice import MOST_STARTS, LaneChoice

SETS = [lanes for size in range(1, 6) for lanes in combinations(PRIORITIES, size)]
# Which lanes a start leaves without records, and into which ones records come before the next start.
STARTS = st.lists(st.tuples(st.sets(st.sampled_from(PRIORITIES)), st.booleans()), max_size=150)


@pytest.mark.parametrize("lanes", SETS)
def test_lanes_that_always_have_records_get_shares_as_their_weights(lanes):
    choice = LaneChoice()
    starts = Counter(choice.next(lanes) for _ in range(1000))
    for priority in lanes:
        due = 1000 * WEIGHTS[priority] / sum(WEIGHTS[other] for other in lanes)
        assert abs(starts[priority] - due) <= max(1, 0.1 * due)


def test_shares_stay_the_same_over_every_thousand_starts():
    choice = LaneChoice()
    starts = [choice.next(PRIORITIES) for _ in range(3000)]
    for first in range(0, 2000, 250):
        counts = Counter(starts[first : first + 1000])
        assert all(abs(counts[p] / (1000 * WEIGHTS[p] / MOST_STARTS) - 1) <= 0.1 for p in PRIORITIES)


@pytest.mark.parametrize(("busy", "urgent"), [(a, b) for a in PRIORITIES for b in PRIORITIES if a < b])
@pytest.mark.parametrize("starts", [0, 1, 7, 1000])
def test_a_record_that_comes_into_an_empty_and_more_urgent_lane_is_next(busy, urgent, starts):
    choice = LaneChoice()
    for _ in range(starts):
        assert choice.next([busy]) == busy
    assert choice.next([busy, urgent]) == urgent
    assert choice.next([busy]) == busy


@settings(max_examples=200, deadline=None)
@given(STARTS)
def test_whatever_comes_when_the_least_urgent_lane_is_begun_within_31_starts(starts):
    choice, present, waited = LaneChoice(), set(), 0
    for came, ends in starts:
        present |= came | {1}
        chosen = choice.next(present)
        assert chosen in present
        waited = 0 if chosen == 1 else waited + 1
        assert waited < MOST_STARTS
        if ends:
            present.discard(chosen)


@settings(max_examples=200, deadline=None)
@given(STARTS)
def test_the_most_urgent_lane_is_next_when_it_was_empty_for_as_many_starts_as_all_weights(starts):
    choice, present = LaneChoice(), set()
    waited: Counter[int] = Counter()
    absent = dict.fromkeys(PRIORITIES, MOST_STARTS)
    for came, ends in starts:
        present |= came
        if not present:
            continue
        most_urgent = max(present)
        is_new = absent[most_urgent] >= MOST_STARTS
        chosen = choice.next(present)
        if is_new and all(waited[priority] < MOST_STARTS - 1 for priority in present):
            assert chosen == most_urgent
        for priority in PRIORITIES:
            absent[priority] = 0 if priority in present else absent[priority] + 1
            waited[priority] = waited[priority] + 1 if priority in present and priority != chosen else 0
        if ends:
            present.discard(chosen)


def test_one_urgent_record_after_another_leaves_the_other_lanes_about_their_share():
    choice, starts = LaneChoice(), Counter()
    present = {1, 3, 5}
    for _ in range(1000):
        chosen = choice.next(present)
        starts[chosen] += 1
        present = {1, 3} if chosen == 5 else {1, 3, 5}
    assert starts[5] <= 500
    assert starts[3] >= 3 * starts[1] > 0
