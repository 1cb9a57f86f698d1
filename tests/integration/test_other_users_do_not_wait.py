"""One user's receivers hang and his songs drip: another user's song, stems and callback come all the same.

Nothing of the first user's ends while a test runs, so what comes for the second has not waited for it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.api_client import basic
from tests.support.http_server import ScriptedServer, drip, stall
from tests.support.stack import Stack
from tests.support.task_client import task
from tests.support.trio import Trio
from tests.support.users import write_users
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

PATIENCE_S = 60
HANGING, DRIPPING = 60, 10
FOR_EVER_S = 3600.0
FIRST, SECOND = basic("first", "password-1"), basic("second", "password-2")


class Town:
    """The trio with two users, and the first one's receivers, which never answer."""

    def __init__(self, stack: Stack, bootstrap: str, store, model_dir: Path, directory: Path):
        users = write_users(directory / "users", admin="password", first="password-1", second="password-2")
        self.hanging = ScriptedServer()
        self.trio = Trio(
            stack,
            bootstrap,
            store,
            model_dir,
            MODEL_NAME="centre",
            ENGINE_SLEEP_S="0",
            BASIC_AUTH_USERS_FILE=str(users),
            ADMIN_USERNAMES="admin",
            CALLBACK_TIMEOUT_S=str(FOR_EVER_S),
        )
        origins = self.trio.settings["TRUSTED_URL_PREFIXES"]
        self.trio.settings["TRUSTED_URL_PREFIXES"] = f"{origins},{self.hanging.origin}"
        self.song = audio.write(directory / "mix.wav", audio.noise(1.0), subtype="PCM_16").read_bytes()

    @property
    def url(self) -> str:
        return self.trio.services["api"].url

    def hang(self, count: int) -> list[str]:
        """The first user's tasks, each of which ends at a receiver that never answers."""
        hook_url = self.hanging.on("/hang", stall())
        # One in ten has stems; the others fail at once, and a failure's callback hangs as well.
        audios = [
            self.trio.song(self.song) if n % 10 == 0 else f"{self.trio.host.url}/none" for n in range(count)
        ]
        return [self.trio.submit(audio, hook_url, FIRST) for audio in audios]

    def drip(self, count: int) -> list[str]:
        """The first user's tasks whose songs take for ever to come."""
        audios = [self.trio.song(drip(self.song, FOR_EVER_S)) for _ in range(count)]
        return [self.trio.submit(audio, headers=FIRST) for audio in audios]

    def state(self, task_uuid: str) -> str:
        return task(self.url, task_uuid)["state"]

    def wait_for_hanging(self, tasks: list[str]) -> None:
        """Until the first receiver has its callbacks, and every one of the tasks has its result."""
        self.hanging.wait_for_requests(4, PATIENCE_S)
        for task_uuid in tasks:
            wait_for(lambda t=task_uuid: self.state(t) in ("delivering", "failed"), PATIENCE_S, "a callback")

    def close(self) -> None:
        self.hanging.close()
        self.trio.close()


@pytest.fixture
def town(stack, kafka, s3_store, model_dir, tmp_path) -> Iterator[Town]:
    town = Town(stack, kafka.bootstrap, s3_store, model_dir, tmp_path)
    with contextlib.closing(town):
        town.trio.start("api", "tests.support.slow_processor", "uploader")
        yield town


def test_a_song_and_its_callback_come_while_another_users_receivers_hang(town: Town):
    hanging = town.hang(HANGING)
    town.wait_for_hanging(hanging)
    done = town.trio.submit(town.trio.song(town.song), headers=SECOND)
    assert town.trio.wait_for_callback(done, PATIENCE_S).json["status"] == "success"
    wait_for(lambda: town.state(done) == "succeeded", PATIENCE_S, "the end in the api")
    # What waits for its place says so.
    assert {town.state(t) for t in hanging} == {"delivering"}
    assert len(town.hanging.requests()) == 4


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
