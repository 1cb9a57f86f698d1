"""Tests `uvr` against the whole system: it cancels jobs, requests redeliveries, and needs no receiver."""

import contextlib
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.client.impatient import objects
from tests.support.client.uvr import UvrCommand
from tests.support.http_server import serve, stall
from tests.support.trio import Trio
from tests.support.waiting import wait_for
from uvr_client.exits import Exit

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre")
    with contextlib.closing(trio):
        yield trio.start()


@pytest.fixture
def uvr(trio, tmp_path) -> UvrCommand:
    home = tmp_path / "home"
    home.mkdir()
    return UvrCommand(trio.services["api"].url, home)


@pytest.fixture
def song(tmp_path: Path) -> bytes:
    return audio.write(tmp_path / "song.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()


def test_a_download_that_hangs_is_cancelled(trio: Trio, uvr):
    task_uuid = uvr("submit", trio.song(stall()), "--hook", trio.receiver.hook_url).stdout.strip()
    wait_for(lambda: objects(uvr("status", "--json", task_uuid))[0]["state"] == "downloading", 60, "download")
    asked = uvr("cancel", task_uuid)
    assert (asked.returncode, asked.stdout.startswith(task_uuid)) == (0, True), asked.stderr
    assert uvr("watch", task_uuid).returncode == Exit.CANCELLED
    assert uvr("cancel", task_uuid).returncode == 0
    assert trio.wait_for_callback(task_uuid).json["error_code"] == "cancelled"


def test_a_deadline_ends_the_wait_as_cancelled(trio: Trio, uvr):
    hook = trio.receiver.hook_url
    ended = uvr("submit", trio.song(stall()), "--hook", hook, "--cancel-after", "2", "--wait", "--json")
    assert ended.returncode == Exit.CANCELLED
    assert objects(ended)[0]["error_code"] == "deadline_exceeded"


def test_a_callback_is_sent_again(trio: Trio, uvr, song):
    done = uvr("submit", trio.song(song), "--hook", trio.receiver.hook_url, "--wait", "--json")
    (printed,) = objects(done)
    assert uvr("redeliver", printed["task_uuid"]).returncode == 0
    wait_for(lambda: len(trio.callbacks(printed["task_uuid"])) == 2, 60, "second callback")
    wait_for(lambda: len(objects(uvr("deliveries", "--json", printed["task_uuid"]))) == 2, 60, "its delivery")


def test_without_a_receiver_the_stems_are_fetched_all_the_same(trio: Trio, uvr, song, tmp_path):
    url, stems = trio.song(serve(song)), str(tmp_path / "stems")
    arguments = ("submit", url, "--download", stems, "--json", "--idempotency-key", "order-17")
    first, again = uvr(*arguments), uvr(*arguments)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert objects(first)[0]["files"] == objects(again)[0]["files"]
    task_uuid = objects(first)[0]["task_uuid"]
    assert [t["task_uuid"] for t in objects(uvr("list", "--json", "--idempotency-key", "order-17"))] == [
        task_uuid
    ]
    other = uvr("submit", trio.song(serve(song)), "--idempotency-key", "order-17")
    assert other.returncode == Exit.CONFLICT
    assert not trio.callbacks(task_uuid)


def test_what_does_not_go_with_a_tasks_state_is_a_conflict(trio: Trio, uvr, song):
    (printed,) = objects(uvr("submit", trio.song(song), "--wait", "--json"))
    assert uvr("cancel", printed["task_uuid"]).returncode == Exit.CONFLICT
    assert uvr("redeliver", printed["task_uuid"]).returncode == Exit.CONFLICT  # the task has no hook_url


@pytest.mark.slow
def test_stems_come_while_the_receiver_hangs(trio: Trio, uvr, song, tmp_path):
    hook, stems = trio.song(stall(), "hook"), tmp_path / "stems"
    done = uvr("submit", trio.song(song), "--hook", hook, "--download", str(stems), "--json")
    assert done.returncode == Exit.DONE, done.stderr
    (printed,) = objects(done)
    assert printed["state"] == "delivering"
    assert {Path(path).stat().st_size > 0 for path in printed["files"].values()} == {True}
    (now,) = objects(uvr("status", "--json", printed["task_uuid"]))
    assert (now["state"], objects(uvr("deliveries", "--json", printed["task_uuid"]))) == ("delivering", [])
