"""Lanes on a real broker: urgent records first, shares by weight, and turns between the users of a lane."""

from collections import Counter

import pytest

from common.kafka import lanes
from common.kafka.lanes import PRIORITIES, WEIGHTS
from common.lag import lags
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.waiting import wait_for

# Long enough that all that is fed meanwhile has been read when the job ends.
LONG_S = 8


@pytest.fixture
def lab(kafka):
    return Lab(kafka.bootstrap, partitions=2)


@pytest.fixture
def sleepers(stack, lab):
    return Sleepers(stack, lab, PROCESSOR_SLOTS="1")


def of_lane(number: int, seconds: float, priority: int, user: str = "a") -> dict:
    return job(number, seconds, p=priority, u=user)


def waiting(lab: Lab) -> Counter[str]:
    """The records that wait in each lane, as `python -m common.lag` counts them."""
    counts: Counter[str] = Counter()
    names = lanes.topics(lab.settings.kafka_task_topic)
    for lag in lags(lab.settings, lab.settings.kafka_group_id, names):
        counts[lag.partition.topic] += lag.waiting
    return counts


@pytest.mark.slow
def test_what_waits_is_begun_by_lane_and_weight_and_by_turns_of_users(lab, sleepers):
    lab.feed([of_lane(0, LONG_S, 3)], priority=3)
    sleepers.start()
    sleepers.wait_for_starts(1)
    for priority in PRIORITIES:
        lab.feed((of_lane(n, 0, priority) for n in range(1, 41)), priority=priority)
    lab.feed([of_lane(41, 0, 3, "b")], partition=0, priority=3)
    names = lanes.topics(lab.settings.kafka_task_topic)
    assert +waiting(lab) == {name: 41 if name == names[0] else 40 for name in names}
    assert len(sleepers.ends()) == 0, "this machine was too slow to feed everything in time"
    lab.wait_for_results(1 + 5 * 40 + 1)
    started = [(start["topic"], start["i"]) for start in sleepers.starts()][1:]
    priority_of = {lanes.topic(names[0], priority): priority for priority in PRIORITIES}
    begun = [priority_of[topic] for topic, _ in started]
    assert begun[0] == 5
    counts = Counter(begun[:31])
    assert all(abs(counts[priority] - weight) <= 1 for priority, weight in WEIGHTS.items()), counts
    assert 1 in begun[:31]
    own_lane = [number for topic, number in started if topic == names[0]]
    assert 41 in own_lane[:2]
    assert len(set(started)) == len(started)
    wait_for(lambda: not sum(waiting(lab).values()), 20, "no record left")


@pytest.mark.slow
def test_nothing_is_lost_on_the_way_from_one_topic_to_lanes_and_back(lab, sleepers):
    """Workers before apis on the way there; on the way back the lanes run empty before the workers go."""
    earlier = sleepers.start("w0", SLEEPER_LANES="one")
    lab.feed(of_lane(n, 0.2, 3) for n in range(20))
    sleepers.wait_for_starts(3)
    newer = sleepers.start("w1")
    for priority in (1, 5):
        jobs = [of_lane(100 * priority + n, 0, priority) for n in range(6)]
        lab.feed([*jobs, {**of_lane(100 * priority + 99, 0, priority), "fail": 1}], priority=priority)
    lab.wait_for_results(20 + 2 * 7)
    assert +waiting(lab) == {}
    assert newer.stop() == 0
    lab.feed(of_lane(n, 0, 3) for n in range(20, 26))
    lab.wait_for_results(20 + 2 * 7 + 6)
    assert earlier.stop() == 0
    done = [result["i"] for result in lab.results()]
    lanes_done = [100 * priority + n for priority in (1, 5) for n in (*range(6), 99)]
    assert sorted(done) == sorted([*range(26), *lanes_done])
