"""Real processes killed with SIGKILL at the points of KAFKA_CONSUMER.md's table: what is seen then."""

import threading

import pytest

from tests.support.crash import PROCESSOR
from tests.support.http_server import Connection, Request, serve
from tests.support.trio import Trio
from tests.support.waiting import below, wait_for


@pytest.fixture
def make_trio(stack, kafka, s3_store, model_dir):
    made: list[Trio] = []

    def make(**settings: str) -> Trio:
        made.append(Trio(stack, kafka.bootstrap, s3_store, model_dir, **settings))
        return made[-1]

    yield make
    for trio in made:
        trio.close()


def assert_done_once(trio: Trio, task_uuid: str) -> None:
    """One successful callback, or several with the same id and bytes; nothing left in the stage."""
    first = trio.wait_for_callback(task_uuid)
    assert first.json["status"] == "success", first.json
    wait_for(lambda: not below(trio.stack.outputs), 30, "empty stage")
    for callback in trio.callbacks(task_uuid):
        assert callback.body == first.body
        assert callback.headers["webhook-id"] == f"{task_uuid}.1"


def temporary_files(trio: Trio, name: str) -> list[str]:
    return below(trio.services[name].directory / "temp", files_only=True)


class Gate:
    """A receiver that holds its first callback until it is opened, and takes every later one."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, request: Request, connection: Connection) -> None:
        if not self.reached.is_set():
            self.reached.set()
            self.opened.wait(60)
        serve(b"", 204)(request, connection)


@pytest.mark.slow
def test_api_killed_after_its_answer(make_trio, song):
    trio = make_trio(ENGINE_SLEEP_S="0").start("api", PROCESSOR, "uploader")
    task_uuid = trio.submit(trio.song(song))
    trio.services["api"].kill()
    assert_done_once(trio, task_uuid)
    assert len(trio.callbacks(task_uuid)) == 1


@pytest.mark.slow
def test_processor_killed_three_times_by_one_song_gives_it_up_and_does_the_next(make_trio, song):
    trio = make_trio(ENGINE_SLEEP_S="600", PROCESSOR_SLOTS="1").start("api", PROCESSOR, "uploader")
    processor = trio.services["stand_in_processor"]
    task_uuid = trio.submit(trio.song(song))
    for attempt in (1, 2, 3):
        wait_for(lambda n=attempt: f"task taken, attempt {n}" in processor.log(), 40, f"attempt {attempt}")
        processor.kill()
        processor.start()
    body = trio.wait_for_callback(task_uuid).json
    assert body["error_code"] == "engine_crashed"
    following = trio.submit(trio.song(song))
    wait_for(lambda: f"[{following}] task taken" in processor.log(), 40, "the next job's start")


@pytest.mark.slow
def test_uploader_killed_while_its_callback_is_under_way(make_trio, s3_store, song):
    trio = make_trio(ENGINE_SLEEP_S="0").start("api", PROCESSOR, "uploader")
    gate = Gate()
    trio.receiver.on("/hook", gate)
    task_uuid = trio.submit(trio.song(song))
    assert gate.reached.wait(60)
    listing = {"Bucket": s3_store.bucket, "Prefix": task_uuid}
    before = s3_store.client().list_objects_v2(**listing)["Contents"]
    uploader = trio.services["uploader"]
    uploader.kill()
    gate.opened.set()
    uploader.start()
    wait_for(lambda: len(trio.callbacks(task_uuid)) == 2, 60, "second callback")
    assert_done_once(trio, task_uuid)
    after = s3_store.client().list_objects_v2(**listing)["Contents"]
    assert [(o["Key"], o["LastModified"]) for o in after] == [(o["Key"], o["LastModified"]) for o in before]


@pytest.mark.slow
def test_a_processor_frozen_past_its_session_publishes_nothing_after_its_thaw(make_trio, song):
    trio = make_trio(ENGINE_SLEEP_S="4").start("api", PROCESSOR, "uploader")
    frozen = trio.services["stand_in_processor"]
    task_uuid = trio.submit(trio.song(song))
    wait_for(lambda: "prepared" in frozen.log(), 30, "separation under way")
    frozen.freeze()
    other = trio.stack.start(PROCESSOR, {**trio.settings})
    wait_for(lambda: f"[{task_uuid}] separated" in other.log(), 60, "the other's separation")
    frozen.thaw()
    wait_for(lambda: "dropped: nothing published" in frozen.log(), 60, "the thawed job's end")
    assert_done_once(trio, task_uuid)
    assert len(trio.callbacks(task_uuid)) == 1
