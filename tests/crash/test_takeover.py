"""A worker goes, with 108 partitions to its group: another, or its own restart, does what comes for them.

How fast is measured by `python -m bench --only takeover`.
"""

import signal

import pytest

from tests.support.common.worker.sleepers import OffsetWatch
from tests.support.common.worker.takeover import Takeover
from tests.support.stack import Service


@pytest.fixture
def takeover(kafka, stack) -> Takeover:
    return Takeover(kafka.bootstrap, stack)


@pytest.fixture
def pair(takeover) -> tuple[Service, Service]:
    return takeover.pair()


@pytest.mark.slow
def test_what_a_worker_leaves_is_taken_over_when_it_stops_and_when_it_is_killed(takeover, pair):
    first, second = pair
    with OffsetWatch(takeover.lab):
        takeover.measure(lambda: first.process.signal(signal.SIGTERM))
        assert first.process.wait(40) == 0
        first.start()
        takeover.wait_until_shared(first, second)
        takeover.measure(second.kill)
    assert {start["worker"] for start in takeover.sleepers.starts()} == {"w0", "w1"}
    assert all(start["attempt"] == 1 for start in takeover.sleepers.starts())


@pytest.mark.slow
def test_a_killed_worker_that_starts_again_has_its_partitions_back_and_no_other_gets_them(takeover, pair):
    first, second = pair

    def restart() -> None:
        first.kill()
        first.start()

    with OffsetWatch(takeover.lab):
        takeover.measure(restart)
    starts = takeover.sleepers.starts()
    assert sorted(start["worker"] for start in starts) == ["w0"] * 6 + ["w1"] * 6
    assert "rebalance: assigned" not in second.log().partition("rebalance: lost or revoked")[2]
