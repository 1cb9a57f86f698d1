"""One user's receivers hang and his songs drip: another user's song, stems and callback come all the same.

Nothing of the first user's ends while a test runs, so what comes for the second has not waited for it.
"""

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.town import PROCESSOR, SECOND, Town
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

PATIENCE_S = 60
# The uploader has 4 slots, and 4 places for the callbacks of one receiver.
HANGING, DRIPPING = 20, 10


@pytest.fixture
def town(stack, kafka, s3_store, model_dir, tmp_path) -> Iterator[Town]:
    town = Town(stack, kafka.bootstrap, s3_store, model_dir, tmp_path)
    with contextlib.closing(town):
        town.trio.start("api", PROCESSOR, "uploader")
        yield town


@pytest.mark.slow
def test_a_song_and_its_callback_come_while_another_users_receivers_hang(town: Town):
    hanging = town.hang(HANGING)
    town.wait_for_hanging(hanging)
    done = town.trio.submit(town.trio.song(town.song), headers=SECOND)
    assert town.trio.wait_for_callback(done, PATIENCE_S).json["status"] == "success"
    wait_for(lambda: town.state(done) == "succeeded", PATIENCE_S, "the end in the api")
    # What waits for its place says so.
    assert {town.state(t) for t in hanging} == {"delivering"}
    assert len(town.hanging.requests()) == 4
    assert sum(len(lag.running) for lag in town.uploader_lag()) == 4
    assert sum(lag.waiting for lag in town.uploader_lag()) == HANGING - 4


@pytest.mark.slow
def test_a_song_comes_while_another_users_songs_drip_and_his_receivers_hang(town: Town):
    hanging = town.hang(HANGING)
    town.wait_for_hanging(hanging)
    dripping = town.drip(DRIPPING)
    wait_for(lambda: [town.state(t) for t in dripping].count("downloading") == 2, PATIENCE_S, "two that drip")
    done = [town.trio.submit(town.trio.song(town.song), headers=SECOND) for _ in range(3)]
    for task_uuid in done:
        assert town.trio.wait_for_callback(task_uuid, PATIENCE_S).json["status"] == "success"
    # Those that found no place wait in the queue, and the api says so.
    assert sorted(town.state(t) for t in dripping) == ["downloading"] * 2 + ["queued"] * 8
    assert {town.state(t) for t in hanging} == {"delivering"}
