"""Downloads beside separation: the place that each needs, and when a slow one gives up its slot."""

import threading
from uuid import UUID

import pytest

from common.jobs.lanes import Ticket
from common.jobs.outcome import Deferred, Done
from common.jobs.places import Claim
from common.kafka.records import Record
from common.settings.schema import ProcessorSettings
from common.tasks.messages import Task, decode_task
from common.worker.waiting_room import PlaceRules
from processor.places import claim_of, download_limits, lane_rules
from tests.support.common.worker.fakes import FakeContext, run
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.http_server import ScriptedServer, drip
from tests.support.processor.processor_harness import FakeEngine, ProcessorHarness
from tests.support.waiting import wait_for


@pytest.fixture
def harness(tmp_path):
    with ScriptedServer() as server:
        yield ProcessorHarness(tmp_path, server)


def test_the_task_says_which_lane_and_user_it_has_whatever_topic_it_is_in():
    rules = lane_rules(ProcessorSettings())
    assert rules.topics == ("uvr_tasks_p5", "uvr_tasks_p4", "uvr_tasks_p2", "uvr_tasks_p1")
    task = Task(task_uuid=UUID(int=1), audio="a", submitted_at=1.0, user="alice", priority=5)
    for topic in ("uvr_tasks", "uvr_tasks_p5", "uvr_tasks_retry_30s"):
        assert rules.ticket_of(Record(topic, 0, 0, b"k", task.to_bytes())) == Ticket(5, "alice")
    assert rules.ticket_of(Record("uvr_tasks_p5", 0, 0, b"k", b"\xff")) == Ticket(3, "")


def of_user(record: Record, user: str) -> Record:
    task = decode_task(record.value).model_copy(update={"user": user})
    return Record(record.topic, record.partition, record.offset, record.key, task.to_bytes())


@pytest.mark.parametrize(
    ("given", "total", "per_user"),
    [
        ({}, 8, 2),
        ({"slots": 1}, 8, 2),
        ({"slots": 4}, 16, 4),
        ({"slots": 4, "download_slots": 3, "download_slots_per_user": 1}, 3, 1),
    ],
)
def test_what_is_not_set_follows_from_the_processors_slots(given, total, per_user):
    limits = download_limits(ProcessorSettings(**given))
    assert (limits.total, limits.per_user) == (total, per_user)


def test_every_task_needs_a_place_of_its_user_before_it_is_begun(harness):
    assert claim_of(of_user(harness.record(), "alice")) == Claim("alice")
    assert claim_of(harness.record()) == Claim("")
    assert claim_of(Record("tasks", 0, 1, b"k", b"no task")) is None


def test_without_a_place_nothing_is_fetched(harness):
    outcome = run(harness.handler(), harness.record(), FakeContext(has_place=False))
    assert outcome == Deferred(Claim(""))
    assert harness.server.requests() == []


def test_a_download_gives_its_place_back_once_it_has_its_slot(harness):
    context = FakeContext()
    steps: list[list[str]] = []
    engine = FakeEngine(then=lambda: steps.append(list(context.steps)))
    assert isinstance(run(harness.handler(engine), harness.record(), context), Done)
    assert steps == [["regain_slot", "leave_place"]]


def test_a_slow_download_leaves_its_slot_and_has_it_again_before_the_song_is_prepared(harness):
    harness.server.on("/slow.wav", drip(harness.song, 1.5))
    context = FakeContext()
    assert isinstance(run(harness.handler(), harness.record("/slow.wav"), context), Done)
    assert context.steps[0] == "leave_slot"
    assert context.steps[-2:] == ["regain_slot", "leave_place"]


@pytest.mark.slow
def test_songs_that_waited_for_a_place_are_separated_in_the_slots_like_any_other(harness):
    """Their downloads are fast, and so they never left a slot: they had none."""
    harness.server.on("/slow.wav", drip(harness.song, 1.0))
    go_on, lock, in_engine = threading.Event(), threading.Lock(), []

    def separate() -> None:
        with lock:
            in_engine.append(1)
        assert go_on.wait(60)
        with lock:
            in_engine.pop()

    handler = harness.handler(FakeEngine(then=separate))
    log = [harness.record("/slow.wav").value] * 2 + [harness.record("/song.wav").value] * 4
    rules = PlaceRules(download_limits(ProcessorSettings(slots=2)), claim_of)
    worker = WorkerHarness(lambda record, context: run(handler, record, context), log=log, places=rules)
    running = worker.start()
    wait_for(lambda: worker.worker.waiting_count == 4, 20, "songs that wait for a place")
    wait_for(lambda: len(in_engine) == 2, 20, "two songs in the engine")
    # On a busy machine one of them may have been quicker than a slow song, which then waits in its place.
    wait_for(lambda: worker.worker.waiting_count == 2, 20, "two more with a place")
    wait_for(lambda: worker.worker._leases.newcomers()[0], 20, "one that is downloaded")
    assert len(in_engine) == 2
    go_on.set()
    wait_for(lambda: worker.worker.running_count == 0, 20, "all songs' ends")
    worker.worker.stop()
    running.result()
