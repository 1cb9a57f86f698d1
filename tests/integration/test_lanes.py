"""Lanes on a real broker: urgent records first, shares by weight, and turns between the users of a lane."""

from collections import Counter

import pytest

from common.kafka import lanes
from common.kafka.lanes import PRIORITIES, WEIGHTS
from common.lag import lags
from tests.support.api.api_process import metrics_of
from tests.support.common.kafka.group import Lab
from tests.support.common.observability.exposition import Exposition
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.stack import Service
from tests.support.waiting import wait_for


@pytest.fixture
def lab(kafka):
    return Lab(kafka.bootstrap, partitions=4)


@pytest.fixture
def sleepers(stack, lab):
    return Sleepers(stack, lab, PROCESSOR_SLOTS="1")


@pytest.fixture
def gate(tmp_path):
    """The file that ends the gated jobs."""
    return tmp_path / "gate"


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
def test_what_waits_is_begun_by_lane_and_weight_and_by_turns_of_users(lab, sleepers, gate):
    lab.feed([{**of_lane(0, 0, 3), "gate": str(gate)}], priority=3)
    worker = sleepers.start()
    sleepers.wait_for_starts(1)
    for priority in PRIORITIES:
        lab.feed((of_lane(n, 0, priority) for n in range(1, 41)), priority=priority)
    lab.feed([of_lane(41, 0, 3, "b")], partition=0, priority=3)
    names = lanes.topics(lab.settings.kafka_task_topic)
    assert +waiting(lab) == {name: 41 if name == names[0] else 40 for name in names}
    wait_for(lambda: sum(ready_by_lane(worker).values()) == 5 * 40 + 1, 30, "everything ready")
    gate.touch()
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
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_with_a_thousand_records_in_a_lane_an_urgent_one_has_its_workers_next_slot(
    lab, sleepers, gate, workers
):
    lab.feed({**of_lane(n, 0, 3), "gate": str(gate)} for n in range(lab.partition_count))
    started = [sleepers.start(f"w{n}", wait=False) for n in range(workers)]
    for worker in started:
        worker.wait_ready()
    wait_for(lambda: len({e["worker"] for e in sleepers.starts()}) == workers, 60, "busy workers")
    lab.feed(of_lane(n, 0, 3) for n in range(4, 1000))
    lab.feed((of_lane(5000 + n, 0, 5) for n in range(lab.partition_count)), priority=5)
    wait_for(lambda: sum(ready_by_lane(w)["5"] for w in started) == 4, 30, "urgent records ready")
    gate.touch()
    for number in range(workers):
        wait_for(lambda n=number: len(sleepers.starts(f"w{n}")) > 1, 30, "the next start")
        assert sleepers.starts(f"w{number}")[1]["i"] >= 5000


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


@pytest.mark.slow
def test_after_a_kill_what_was_ready_in_any_lane_begins_for_the_first_time(lab, sleepers):
    lab.feed([job(0, 0, deaf=600, p=3, u="a")], partition=0, priority=3)
    worker = sleepers.start()
    sleepers.wait_for_starts(1)
    for priority in PRIORITIES:
        lab.feed([of_lane(priority, 0, priority)], partition=0, priority=priority)
    ready = dict.fromkeys(map(str, PRIORITIES), 1)
    wait_for(lambda: ready_by_lane(worker) == ready, 30, "ready records in all lanes")
    worker.kill()
    worker.start()
    assert sorted(result["i"] for result in lab.wait_for_results(6)) == list(range(6))
    begun = [(start["i"], start["attempt"]) for start in sleepers.starts()]
    assert sorted(begun) == [(0, 1), (0, 2), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]


def ready_by_lane(worker: Service) -> dict[str, float]:
    found = Exposition(metrics_of(worker.url))
    return {p: found.value("uvr_jobs_ready", priority=p) for p in map(str, PRIORITIES)}
