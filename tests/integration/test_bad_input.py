"""Broken songs and lost receivers through the whole system: a code or stems, never a hang, nothing left."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import requests

from common.tasks.messages import Task
from tests.support import audio
from tests.support.common.kafka.group import read_all
from tests.support.http_server import reset, serve
from tests.support.trio import Trio, fetch_stem
from tests.support.waiting import below, wait_for

SECOND = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    trio = Trio(
        module_stack,
        kafka.bootstrap,
        s3_store,
        model_dir,
        MODEL_NAME="centre",
        MAX_AUDIO_DURATION_S="20",
        MAX_AUDIO_BYTES="8000000",
        CALLBACK_TIMEOUT_S="5",
    )
    try:
        yield trio.start()
    finally:
        trio.close()


@pytest.fixture(autouse=True)
def nothing_left_and_alive(trio: Trio):
    before = {name: service.pid for name, service in trio.services.items()}
    yield
    wait_for(lambda: not below(trio.stack.outputs), 30, "empty stage")
    temp = trio.services["processor"].directory / "temp"
    wait_for(lambda: not below(temp, files_only=True), 30, "empty temporary directory")
    for name, service in trio.services.items():
        assert service.process.returncode is None
        assert service.pid == before[name]


def empty_wav(directory: Path) -> Path:
    return audio.write(directory / "a.wav", np.zeros((0, 2), np.float32))


def html(directory: Path) -> Path:
    path = directory / "a.html"
    path.write_text("<!doctype html><title>Sign in</title><p>Please sign in to download.</p>")
    return path


def empty_file(directory: Path) -> Path:
    path = directory / "a.wav"
    path.touch()
    return path


def truncated_flac(directory: Path) -> Path:
    whole = audio.write(directory / "whole.flac", audio.noise(8), subtype="PCM_16")
    return audio.truncated(directory / "a.flac", whole)


def truncated_m4a(directory: Path) -> Path:
    whole = audio.encode(directory / "whole.m4a", audio.noise(8), "aac")
    return audio.truncated(directory / "a.m4a", whole)


def video(directory: Path) -> Path:
    return audio.video_only(directory / "a.mkv")


def too_long(directory: Path) -> Path:
    return audio.write(directory / "a.flac", np.zeros((25 * SECOND, 2), np.float32), subtype="PCM_16")


def too_large(directory: Path) -> Path:
    return audio.write(directory / "a.wav", audio.noise(25))


def many_channels(directory: Path) -> Path:
    return audio.write(directory / "a.wav", np.zeros((1000, 64), np.float32))


def playlist(directory: Path) -> Path:
    path = directory / "a.mp3"
    path.write_text("ffconcat version 1.0\nfile /etc/hostname\n")
    return path


REFUSED = [
    (html, "not_audio"),
    (empty_file, "empty_file"),
    (empty_wav, "empty_file"),
    (truncated_flac, "truncated_audio"),
    (truncated_m4a, "truncated_audio"),
    (video, "no_audio_stream"),
    (too_long, "too_long"),
    (too_large, "too_large"),
    (many_channels, "too_many_channels"),
    (playlist, "not_audio"),
]


@pytest.mark.parametrize(("make", "code"), REFUSED, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_no_song_is_refused_with_its_code(
    trio: Trio, tmp_path: Path, make: Callable[[Path], Path], code: str
):
    path = make(tmp_path)
    body = trio.separate(path.read_bytes(), path.name).json
    assert body["status"] == "failed"
    assert body["error_code"] == code, body
    assert body["error_message"]
    assert set(body) == {"task_uuid", "status", "timestamp", "error_message", "error_code"}


@pytest.mark.parametrize(("status", "tries"), [(403, 1), (404, 1), (410, 1), (429, 3), (503, 3)])
def test_the_hosts_status_is_told_at_once_where_it_is_for_good_else_after_all_tries(
    trio: Trio, status: int, tries: int
):
    url = trio.song(serve(b"no", status, "text/plain"))
    body = trio.wait_for_callback(trio.submit(url)).json
    assert len(trio.host.requests(url.removeprefix(trio.host.url))) == tries
    assert body["error_code"] == "http_error"
    assert body["error_message"] == f"HTTP error: {status}"


def test_a_connection_that_breaks_is_a_network_error(trio: Trio):
    body = trio.wait_for_callback(trio.submit(trio.song(reset(b"")))).json
    assert body["error_code"] == "network_error"
    assert body["error_message"].startswith("Network error: ")


def test_a_blocked_address_is_refused_by_the_processor_too(trio: Trio):
    task = Task(
        task_uuid=uuid4(),
        audio="http://169.254.169.254/latest/meta-data",
        hook_url=trio.receiver.hook_url,
        submitted_at=0.0,
    )
    trio.publish("KAFKA_TASK_TOPIC", task.to_bytes())
    body = trio.wait_for_callback(str(task.task_uuid)).json
    assert body["error_code"] == "address_blocked"
    assert "TRUSTED_URL_PREFIXES" in body["error_message"]


def six_channels(directory: Path) -> Path:
    return audio.write(directory / "a.wav", np.repeat(audio.noise(2), 3, axis=1) / 3)


def silence(directory: Path) -> Path:
    return audio.write(directory / "a.wav", np.zeros((2 * SECOND, 2), np.float32))


def one_sample(directory: Path) -> Path:
    return audio.write(directory / "a.wav", np.full((1, 2), 0.5, np.float32))


def not_a_number(directory: Path) -> Path:
    samples = audio.noise(2)
    samples[1000:2000] = np.nan
    samples[3000] = np.inf
    return audio.write(directory / "a.wav", samples)


@pytest.mark.parametrize(
    ("make", "frames"),
    [(six_channels, 2 * SECOND), (silence, 2 * SECOND), (one_sample, 1), (not_a_number, 2 * SECOND)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_odd_songs_give_stems_of_their_length(
    trio: Trio, tmp_path: Path, make: Callable[[Path], Path], frames: int
):
    body = trio.separate(make(tmp_path).read_bytes()).json
    assert body["status"] == "success", body
    for name in ("vocals", "instrumental"):
        stem = fetch_stem(body[name], tmp_path)
        assert stem.shape == (frames, 2)
        assert np.isfinite(stem).all()
        if make is silence:
            assert not stem.any()


def dead_letters(trio: Trio, count: int) -> list:
    topic = trio.settings["KAFKA_DEAD_LETTER_TOPIC"]
    bootstrap = trio.settings["KAFKA_BOOTSTRAP_SERVERS"]
    return wait_for(
        lambda: found if len(found := read_all(bootstrap, topic)) >= count else None,
        60,
        f"{count} dead letters",
    )


def letters_of(trio: Trio, task_uuid: str) -> list:
    return [letter for letter in dead_letters(trio, 1) if letter.key == task_uuid.encode()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [(500, b"callback_failed", 3), (302, b"callback_failed", 3), (410, b"callback_gone", 1)],
)
def test_a_callback_that_nobody_takes_is_put_aside_after_its_tries_and_the_next_job_done(
    trio: Trio, tmp_path: Path, status: int, code: bytes, tries: int
):
    song = trio.song(audio.write(tmp_path / "a.wav", audio.noise(1)).read_bytes())
    refusing = trio.host.on(f"/refusing-{status}", serve(b"", status, "text/plain", [("Location", "/hook")]))
    task_uuid = trio.submit(song, refusing)
    (letter,) = wait_for(lambda: letters_of(trio, task_uuid), 60, "its dead letter")
    assert dict(letter.headers)["uvr-error-code"] == code
    sent = trio.host.requests(f"/refusing-{status}")
    assert len(sent) == tries
    assert len({request.body for request in sent}) == 1
    assert {request.headers["webhook-id"] for request in sent} == {f"{task_uuid}.1"}
    # The stems are in the store all the same.
    assert requests.get(sent[0].json()["vocals"], timeout=30).status_code == 200
    assert trio.wait_for_callback(trio.submit(song)).json["status"] == "success"


def test_bytes_that_are_no_task_are_put_aside_by_both_workers(trio: Trio, tmp_path: Path):
    before = len(read_all(trio.settings["KAFKA_BOOTSTRAP_SERVERS"], trio.settings["KAFKA_DEAD_LETTER_TOPIC"]))
    trio.publish("KAFKA_TASK_TOPIC", b"\x00 no task")
    trio.publish("KAFKA_RESULT_TOPIC", b'{"schema_version": 99}')
    letters = dead_letters(trio, before + 2)
    values = [letter.value for letter in letters]
    assert b"\x00 no task" in values
    assert b'{"schema_version": 99}' in values
    song = audio.write(tmp_path / "a.wav", audio.noise(1))
    assert trio.separate(song.read_bytes()).json["status"] == "success"
