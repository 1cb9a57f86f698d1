"""A broker that is SIGKILLed and comes back: workers recover by themselves, and say little meanwhile."""

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from common.failpoint import VARIABLE, Failpoint
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import OffsetWatch, Sleepers, job, wait_for_freeze
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.servers import KafkaServer
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

# What a lost broker may cost in the log until it is back, well within the minute.
MOST_LINES = 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[KafkaServer]:
    """Started again by the tests, and every time up when they end."""
    server = KafkaServer(tmp_path_factory.mktemp("restarted-kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start(stack: Stack, broker: KafkaServer) -> Callable[..., tuple[Lab, Sleepers, Service]]:
    def make(jobs: list[dict], **settings: str) -> tuple[Lab, Sleepers, Service]:
        lab = Lab(broker.bootstrap, partitions=2)
        lab.feed(jobs)
        sleepers = Sleepers(stack, lab)
        return lab, sleepers, sleepers.start(wait=not settings, **settings)

    return make


def is_unready(worker: Service) -> bool:
    answer = worker.get("/readyz")
    return answer is not None and answer[0] == 503


def test_a_broker_killed_in_the_middle_of_jobs_and_of_none(start, broker):
    """It is away for several sessions."""
    lab, sleepers, worker = start([job(n, 24) for n in range(2)])
    sleepers.wait_for_starts(2)
    lines_before = len(worker.log().splitlines())
    with OffsetWatch(lab):
        broker.kill()
        wait_for(lambda: is_unready(worker), 60, "unreadiness")
        assert "Kafka" in json.dumps(worker.get("/readyz")[1]["checks"]["kafka"])
        wait_for(lambda: len(sleepers.ends()) == 2, 60, "end of the jobs")
        broker.start()
        results = lab.wait_for_results(2)
        worker.wait_ready()
        lines = worker.log().splitlines()[lines_before:]
        lab.feed([job(2, 0)])
        lab.wait_for_results(3)
    assert sorted((r["i"], r["attempt"]) for r in results) == [(0, 1), (1, 1)]
    assert len(lab.results()) == 3
    assert len(lines) <= MOST_LINES, lines


def test_sigterm_ends_a_worker_whose_broker_is_away_and_the_job_is_done_later(start, broker):
    lab, sleepers, worker = start([job(1, 2)], SHUTDOWN_GRACE_S="1")
    sleepers.wait_for_starts(1)
    broker.kill()
    wait_for(sleepers.ends, 30, "end of the job")
    assert worker.stop() == 0  # its result waits for the broker, which does not come back
    broker.start()
    worker.start()
    assert lab.wait_for_results(1) == [{"i": 1, "attempt": 2, "worker": "w0"}]


def test_a_broker_killed_while_a_song_is_separated(stack, broker, s3_store, model_dir, song):
    system = CrashSystem(stack, broker.bootstrap, s3_store, model_dir, ENGINE_SLEEP_S="8")
    with contextlib.closing(system):
        trio = system.trio.start("api", PROCESSOR, "uploader")
        task_uuid = trio.submit(trio.song(song))
        processor = trio.services["stand_in_processor"]
        wait_for(lambda: "prepared" in processor.log(), 30, "separation under way")
        broker.kill()
        broker.start()
        system.assert_seen_once(task_uuid)


@pytest.mark.parametrize("point", [Failpoint.JOB_SENT, Failpoint.JOB_IN_TRANSACTION])
def test_a_broker_killed_in_the_middle_of_a_transaction(start, broker, point):
    lab, sleepers, worker = start([job(n, 0.5) for n in range(8)], **{VARIABLE: f"{point}:stop"})
    wait_for_freeze(worker)
    with OffsetWatch(lab):
        broker.kill()
        worker.thaw()
        broker.start()
        results = lab.wait_for_results(8)
        worker.wait_ready()
    assert sorted(result["i"] for result in results) == list(range(8))
    assert len(lab.results()) == 8
    # The session outlasts the outage: what ran is not done again.
    assert all(len(sleepers.attempts(number)) == 1 for number in range(8))


def test_a_broker_and_its_worker_killed_together_in_the_middle_of_a_transaction(start, broker):
    lab, _, worker = start([job(n, 0.5) for n in range(8)], **{VARIABLE: Failpoint.JOB_IN_TRANSACTION})
    wait_for(lambda: worker.process.returncode is not None, 60, "the worker's end")
    with OffsetWatch(lab):
        broker.kill()
        broker.start()
        worker.process.env.pop(VARIABLE)
        worker.start()
        results = lab.wait_for_results(8)
        worker.wait_ready()
    assert sorted(result["i"] for result in results) == list(range(8))
    assert len(lab.results()) == 8
