"""Runs that end early, at each stage: the user is told so, nothing of them stays, no job behind is harmed.

Each stage is done twice; CANCELS_PER_STAGE=50 makes it fifty.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.tasks.messages import State
from processor import fork_server
from tests.support import audio
from tests.support.api.api_process import submit
from tests.support.api.task_client import cancel, task
from tests.support.http_server import Script, head, serve, stall
from tests.support.processes import child_named_after
from tests.support.processor import forked_children
from tests.support.servers import S3Store
from tests.support.trio import Trio
from tests.support.uploader.slow_store import SlowStore
from tests.support.waiting import below, wait_for

pytestmark = pytest.mark.network

TIMES = int(os.environ.get("CANCELS_PER_STAGE", "2"))
PATIENCE_S = 60
AWAY = serve(b"away", 503, "text/plain")
# The beginning of a song, and then nothing more.
HALF_A_SONG = head(200, [("Content-Type", "audio/wav"), ("Content-Length", "100000")]) + bytes(1000)


class House:
    """The trio, with what the tests ask of it."""

    def __init__(self, trio: Trio, store: S3Store, slow_store: SlowStore, directory: Path):
        self.trio, self.store, self.slow_store = trio, store, slow_store
        self.short = _song(directory / "short.wav", 1.0)
        # Prepared and separated for a while.
        self.long = _song(directory / "long.wav", 200.0, rate=8000)
        # Its stems are larger than one part of an upload.
        self.large = _song(directory / "large.wav", 100.0, rate=8000)

    @property
    def url(self) -> str:
        return self.trio.services["api"].url

    def submit(self, song: bytes | Script, **fields: float) -> str:
        body = {"audio": self.trio.song(song), "hook_url": self.trio.receiver.hook_url}
        answer = submit(self.url, body | fields)
        assert answer.status == 200, answer
        return answer.json()["task_uuid"]

    def wait_until(self, task_uuid: str, state: State) -> None:
        wait_for(lambda: task(self.url, task_uuid)["state"] == state, PATIENCE_S, f"{task_uuid} {state}")

    def cancel(self, *task_uuids: str) -> None:
        for task_uuid in task_uuids:
            answer = cancel(self.url, task_uuid)
            assert answer.status == 202, answer

    def heard(self, service: str, task_uuid: str) -> None:
        """Waits until a worker knows that the task is cancelled."""
        log = self.trio.services[service].log
        wait_for(lambda: f"[{task_uuid}] cancelled by admin" in log(), PATIENCE_S, f"cancel at the {service}")

    def assert_ended(self, *task_uuids: str, code: str = "cancelled", state: State = State.CANCELLED) -> None:
        """Told, in its final state, and gone."""
        for task_uuid in task_uuids:
            body = self.trio.wait_for_callback(task_uuid).json
            assert (body["status"], body["error_code"]) == ("failed", code)
            self.wait_until(task_uuid, state)
            assert len(self.trio.callbacks(task_uuid)) == 1
            assert self._objects(task_uuid) == [f"{task_uuid}/1/manifest.json"]
        wait_for(lambda: not below(self.trio.stack.outputs), PATIENCE_S, "empty stage")
        temp = Path(self.trio.services["processor"].process.env["TEMP_DIR"])
        # One directory is the process's own; another is for downloads that broke off.
        own = {"uvr-downloads"}
        wait_for(lambda: len({Path(p).name for p in below(temp)} - own) == 1, PATIENCE_S, "empty TEMP_DIR")

    def assert_healthy(self) -> None:
        assert self.trio.separate(self.short).json["status"] == "success"

    def _objects(self, task_uuid: str) -> list[str]:
        """Also of unfinished uploads."""
        client, where = self.store.client(), {"Bucket": self.store.bucket, "Prefix": f"{task_uuid}/"}
        uploads = client.list_multipart_uploads(**where).get("Uploads", [])
        return [found["Key"] for found in client.list_objects_v2(**where).get("Contents", []) + uploads]


def _song(path: Path, seconds: float, rate: int = audio.SAMPLE_RATE) -> bytes:
    samples = audio.noise(seconds * rate / audio.SAMPLE_RATE)
    return audio.write(path, samples, subtype="PCM_16", rate=rate).read_bytes()


@pytest.fixture(scope="module")
def house(module_stack, kafka, s3_store, model_dir, tmp_path_factory) -> Iterator[House]:
    slow_store = SlowStore(urlsplit(s3_store.endpoint_url).port, "vocals.wav", 600)
    slow_store.go_on.set()
    trio = Trio(
        module_stack,
        kafka.bootstrap,
        s3_store,
        model_dir,
        MODEL_NAME="centre",
        RETRY_DELAYS_S="3,6,9",
        S3_ENDPOINT_URL=slow_store.endpoint_url,
    )
    with contextlib.closing(slow_store), contextlib.closing(trio):
        yield House(trio.start(), s3_store, slow_store, tmp_path_factory.mktemp("songs"))


def test_what_waits_in_the_queue_is_never_begun(house: House):
    host = house.trio.host
    earlier = len(host.requests())
    before_it = [house.submit(stall()) for _ in range(2)]
    for task_uuid in before_it:
        house.wait_until(task_uuid, State.DOWNLOADING)
    # The state is told before the host is asked.
    asked = len(host.wait_for_requests(earlier + len(before_it)))
    waiting = [house.submit(house.short) for _ in range(TIMES)]
    behind = house.submit(house.short)
    house.cancel(*waiting)
    house.heard("processor", waiting[-1])
    house.cancel(*before_it)
    house.assert_ended(*before_it, *waiting)
    assert house.trio.wait_for_callback(behind).json["status"] == "success"
    assert len(house.trio.host.requests()) == asked + 1


@pytest.mark.slow
def test_what_was_cancelled_while_no_processor_ran_is_never_begun(house: House):
    processor = house.trio.services["processor"]
    processor.kill()
    asked = len(house.trio.host.requests())
    waiting = [house.submit(house.short) for _ in range(TIMES)]
    house.cancel(*waiting)
    processor.start()
    house.assert_ended(*waiting)
    assert len(house.trio.host.requests()) == asked
    house.assert_healthy()


@pytest.mark.parametrize("sent", [b"", HALF_A_SONG], ids=["no answer", "half a song"])
def test_a_download_that_stalls_is_stopped(house: House, sent: bytes):
    for _ in range(TIMES):
        task_uuid = house.submit(stall(sent))
        house.wait_until(task_uuid, State.DOWNLOADING)
        house.cancel(task_uuid)
        house.assert_ended(task_uuid)
    house.assert_healthy()


@pytest.mark.slow
def test_a_decoder_at_work_is_stopped(house: House):
    environment = house.trio.services["processor"].process.env
    template = forked_children.server_of_decoders(environment).process.pid
    decoders = wait_for(lambda: child_named_after(template, fork_server.MODULE), PATIENCE_S, "fork server")
    for _ in range(TIMES):
        task_uuid = house.submit(house.long)
        decoder = wait_for(
            lambda: child_named_after(decoders, forked_children.DECODER), PATIENCE_S, "decoder"
        )
        os.kill(decoder, signal.SIGSTOP)  # so that it does not get to its end
        house.wait_until(task_uuid, State.PREPARING)
        house.cancel(task_uuid)
        house.assert_ended(task_uuid)
    house.assert_healthy()


@pytest.mark.slow
def test_an_engine_at_work_is_stopped_and_takes_the_next_song(house: House):
    for _ in range(TIMES):
        task_uuid = house.submit(house.long)
        behind = house.submit(house.short)
        house.wait_until(task_uuid, State.SEPARATING)
        house.cancel(task_uuid)
        assert house.trio.wait_for_callback(behind).json["status"] == "success"
        house.assert_ended(task_uuid)


@pytest.mark.slow
def test_of_an_upload_nothing_stays(house: House):
    for time_ in range(TIMES):
        house.slow_store.go_on.clear()
        delayed = house.slow_store.delayed
        task_uuid = house.submit(house.short if time_ else house.large)
        wait_for(lambda before=delayed: house.slow_store.delayed > before, PATIENCE_S, "upload")
        house.cancel(task_uuid)
        house.heard("uploader", task_uuid)
        house.slow_store.go_on.set()
        house.assert_ended(task_uuid)
    house.assert_healthy()


@pytest.mark.slow
def test_what_waits_for_another_try_ends_when_that_is_due(house: House):
    waiting = [house.submit(AWAY) for _ in range(TIMES)]
    for task_uuid in waiting:
        wait_for(lambda u=task_uuid: task(house.url, u).get("next_try_at"), PATIENCE_S, "wait for a retry")
    house.cancel(*waiting)
    house.assert_ended(*waiting)
    house.assert_healthy()


def test_a_deadline_ends_a_download_and_what_is_reached_too_late(house: House):
    begun = house.submit(stall(HALF_A_SONG), cancel_after_s=1.5)
    away = house.submit(AWAY, cancel_after_s=1.5)
    in_time = house.submit(house.short, cancel_after_s=3600)
    house.assert_ended(begun, away, code="deadline_exceeded", state=State.FAILED)
    assert house.trio.wait_for_callback(in_time).json["status"] == "success"


def test_a_deadline_ends_an_upload(house: House):
    house.slow_store.go_on.clear()
    seconds = 4  # on a slow machine it may not have come that far, which must end alike
    task_uuid = house.submit(house.short, cancel_after_s=seconds)
    cancel_at = task(house.url, task_uuid)["submitted_at"] + seconds
    wait_for(lambda: time.time() > cancel_at, PATIENCE_S, "deadline")
    house.slow_store.go_on.set()
    house.assert_ended(task_uuid, code="deadline_exceeded", state=State.FAILED)


def test_a_cancel_can_be_repeated_until_the_task_is_over_and_then_it_is_told_how(house: House):
    task_uuid = house.submit(stall())
    house.wait_until(task_uuid, State.DOWNLOADING)
    house.cancel(task_uuid, task_uuid)
    house.assert_ended(task_uuid)
    over = {task_uuid: "cancelled", house.trio.separate(house.short).json["task_uuid"]: "succeeded"}
    for task_uuid, state in over.items():
        house.wait_until(task_uuid, State(state))
        answer = cancel(house.url, task_uuid)
        assert (answer.status, json.loads(answer.body)["state"]) == (409, state)


def test_a_success_that_nobody_has_taken_yet_is_not_cancelled(house: House):
    house.trio.receiver.answer(500)
    task_uuid = house.submit(house.short)
    house.wait_until(task_uuid, State.DELIVERING)
    house.cancel(task_uuid)
    house.heard("uploader", task_uuid)
    house.trio.receiver.answer(204)
    house.wait_until(task_uuid, State.SUCCEEDED)
    assert {callback.json["status"] for callback in house.trio.callbacks(task_uuid)} == {"success"}
