"""The uploader killed with SIGKILL while callbacks wait for a place, which another one holds."""

import pytest

from common.failpoint import Failpoint
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.http_server import stall
from tests.support.task_client import task
from tests.support.waiting import wait_for

PATIENCE_S = 60
UPLOADER = "uploader"


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.settings |= {"CALLBACK_SLOTS_PER_USER": "1", "CALLBACK_TIMEOUT_S": "3600"}
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


def wait_until_published(crashing: CrashSystem, task_uuid: str) -> None:
    """Its stems are there, and so is the word that its callback waits."""

    def told():
        status = task(crashing.trio.services["api"].url, task_uuid)
        return status["state"] == "delivering" and "result" in status

    wait_for(told, PATIENCE_S, "a callback that waits")


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
