"""Tests `uvr` as a process against the whole system: a song is submitted, and its stems are downloaded."""

import hashlib
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import soundfile

from tests.support import audio
from tests.support.client.impatient import objects
from tests.support.client.uvr import UvrCommand
from tests.support.http_server import serve
from tests.support.trio import Trio
from uvr_client.exits import Exit

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre")
    try:
        yield trio.start()
    finally:
        trio.close()


@pytest.fixture
def uvr(trio, tmp_path) -> UvrCommand:
    home = tmp_path / "home"
    home.mkdir()
    return UvrCommand(trio.services["api"].url, home)


def write_song(path: Path, duration_s: float) -> bytes:
    return audio.write(path, audio.noise(duration_s), subtype="PCM_16").read_bytes()


def test_a_song_becomes_files_that_are_what_the_callback_announces(trio: Trio, uvr, tmp_path):
    data = write_song(tmp_path / "song.wav", 3.0)
    hook, stems = trio.receiver.hook_url, tmp_path / "stems"
    done = uvr("submit", trio.song(data), "--hook", hook, "--wait", "--download", str(stems), "--json")
    assert done.returncode == 0, done.stderr
    (printed,) = objects(done)
    callback = trio.wait_for_callback(printed["task_uuid"]).json
    # Each request gets newly signed links.
    printed_stems = {name: {**stem, "url": ""} for name, stem in printed["result"]["stems"].items()}
    assert printed["state"] == "succeeded"
    assert printed_stems == {name: {**stem, "url": ""} for name, stem in callback["stems"].items()}
    assert printed["files"] == {
        name: str(stems / printed["task_uuid"] / f"{name}.wav") for name in ("vocals", "instrumental")
    }
    for name, path in printed["files"].items():
        content = Path(path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == callback["stems"][name]["sha256"]
    separated = [soundfile.read(path)[0] for path in printed["files"].values()]
    song = soundfile.read(tmp_path / "song.wav", always_2d=True)[0]
    assert np.abs(sum(separated) - song * callback["gain"]).max() <= 1.01 / 32768
    assert sorted(path.name for path in stems.rglob("*") if path.is_file()) == [
        "instrumental.wav",
        "vocals.wav",
    ]


def test_a_song_that_is_none_ends_the_command_as_failed(trio: Trio, uvr):
    failed = uvr("submit", trio.song(b"no song"), "--hook", trio.receiver.hook_url, "--wait")
    assert failed.returncode == Exit.FAILED
    task_uuid, _, ending = failed.stdout.strip().partition(" ")
    assert ending.startswith("failed, not_audio: ")
    assert f"{task_uuid} queued" in failed.stderr
    (delivery,) = objects(uvr("deliveries", "--json", task_uuid))
    assert (delivery["status"], delivery["try_number"]) == (204, 1)
    (printed,) = objects(uvr("status", "--json", task_uuid))
    assert (printed["state"], printed["error_code"]) == ("failed", "not_audio")
    assert task_uuid in [task["task_uuid"] for task in objects(uvr("list", "--state", "failed", "--json"))]


def test_who_watches_sees_each_state_in_its_order(trio: Trio, uvr, tmp_path):
    data = write_song(tmp_path / "song.wav", 20.0)
    submitted = uvr("submit", trio.song(serve(data)), "--hook", trio.receiver.hook_url)
    watched = uvr("watch", submitted.stdout.strip(), "--json")
    assert watched.returncode == 0, watched.stderr
    printed = objects(watched)
    assert printed[-1]["state"] == "succeeded"
    progress = [task["progress"] for task in printed]
    assert progress == sorted(progress)


def test_wrong_credentials_and_an_unknown_task_are_told_apart(uvr):
    assert uvr("list", password="wrong").returncode == Exit.UNAUTHORIZED
    assert uvr("status", str(uuid4())).returncode == Exit.NOT_FOUND
