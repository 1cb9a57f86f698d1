"""The uploader killed with SIGKILL while callbacks wait for a place, which another one holds."""

import urllib.request

import pytest

from common.failpoint import VARIABLE, Failpoint
from tests.support.api.task_client import task
from tests.support.common.observability.exposition import Exposition
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.http_server import in_turn, serve, stall
from tests.support.stack import Service
from tests.support.waiting import wait_for

PATIENCE_S = 60
UPLOADER = "uploader"


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.settings |= {"CALLBACK_SLOTS_PER_USER": "1", "CALLBACK_TIMEOUT_S": "3600"}
    system.trio.settings |= {"DOWNLOAD_SLOTS_PER_USER": "1"}
    system.trio.start("api", PROCESSOR)
    return system


@pytest.fixture(autouse=True)
def receiver_hangs(crashing: CrashSystem) -> None:
    crashing.trio.receiver.on("/hook", stall())


def submit(crashing: CrashSystem, song: bytes) -> str:
    return crashing.trio.submit(crashing.trio.song(song))


def submit_one_that_hangs(crashing: CrashSystem, song: bytes) -> str:
    task_uuid = submit(crashing, song)
    wait_for(lambda: crashing.trio.callbacks(task_uuid), PATIENCE_S, "the callback that hangs")
    return task_uuid


def jobs_held(service: Service) -> float:
    """How many of its records wait for a place."""
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=20) as answer:
        return Exposition(answer.read().decode()).value("uvr_jobs_held")


def wait_until_published(crashing: CrashSystem, task_uuid: str) -> None:
    """Its stems are there, and so is the word that its callback waits."""

    def told():
        status = task(crashing.trio.services["api"].url, task_uuid)
        return status["state"] == "delivering" and "result" in status

    wait_for(told, PATIENCE_S, "a callback that waits")


@pytest.mark.slow
def test_an_uploader_killed_while_callbacks_wait_for_a_place_sends_each_of_them(crashing, song):
    uploader = crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)  # to which so short a song does not get
    hanging = submit_one_that_hangs(crashing, song)
    waiting = [submit(crashing, song) for _ in range(3)]
    for task_uuid in waiting:
        wait_until_published(crashing, task_uuid)
    before = [crashing.objects(task_uuid) for task_uuid in waiting]
    uploader.kill()
    crashing.trio.receiver.answer(204)
    crashing.restart(uploader)
    crashing.assert_seen_once(hanging, callbacks=2)
    for task_uuid in waiting:
        crashing.assert_seen_once(task_uuid)
    assert [crashing.objects(task_uuid) for task_uuid in waiting] == before


@pytest.mark.slow
@pytest.mark.parametrize("point", [Failpoint.JOB_IN_TRANSACTION, Failpoint.JOB_COMMITTED])
def test_an_uploader_killed_around_the_commit_that_lets_a_callback_wait(crashing, song, point):
    uploader = crashing.armed(UPLOADER, point)
    hanging = submit_one_that_hangs(crashing, song)
    waiting = submit(crashing, song)
    crashing.wait_for_end(uploader)
    assert crashing.trio.callbacks(waiting) == []
    crashing.trio.receiver.answer(204)
    crashing.restart(uploader)
    crashing.assert_seen_once(hanging, callbacks=2)
    crashing.assert_seen_once(waiting)


@pytest.mark.slow
def test_a_receiver_that_hangs_is_not_given_up_however_often_the_uploader_dies_meanwhile(crashing, song):
    uploader = crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)
    task_uuid = submit_one_that_hangs(crashing, song)
    # One more than MAX_ATTEMPTS.
    for deaths in range(1, 5):
        uploader.kill()
        if deaths == 4:
            crashing.trio.receiver.answer(204)
        uploader.process.env.pop(VARIABLE, None)
        uploader.start()
        count = deaths + 1
        wait_for(
            lambda n=count: len(crashing.trio.callbacks(task_uuid)) == n, PATIENCE_S, f"callback {count}"
        )
    crashing.assert_seen_once(task_uuid, callbacks=5)


@pytest.mark.slow
def test_a_processor_killed_while_songs_wait_for_a_place_begins_each_of_them_once(crashing, song):
    crashing.trio.receiver.answer(204)
    crashing.armed(UPLOADER, Failpoint.BETWEEN_PARTS)
    processor = crashing.trio.services["stand_in_processor"]
    host = crashing.trio.host
    dripping = crashing.trio.submit(crashing.trio.song(in_turn(stall(), serve(song)), "dripping.wav"))
    wait_for(lambda: [r for r in host.requests() if "dripping" in r.target], PATIENCE_S, "the slow download")
    waiting = [submit(crashing, song) for _ in range(3)]
    asked = len(host.requests())
    wait_for(lambda: jobs_held(processor) == len(waiting), PATIENCE_S, "songs that wait")
    processor.kill()
    processor.start()
    for task_uuid in (dripping, *waiting):
        crashing.assert_seen_once(task_uuid)
    assert len(host.requests()) == asked + 1 + len(waiting)
    assert crashing.attempts(processor, dripping) == [1, 2]
    assert [crashing.attempts(processor, task_uuid) for task_uuid in waiting] == [[1]] * len(waiting)
