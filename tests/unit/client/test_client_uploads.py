"""Tests the upload of songs: odd names, and parts that fail or are interrupted."""

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.client.fake_api import FakeApi, answer, task
from tests.support.client.impatient import impatient, process
from tests.support.http_server import ScriptedServer, serve, stall
from uvr_client import UploadFailed, UvrClient
from uvr_client.exits import Exit

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"
ODD = "caf\udce9\n.mp3"  # the byte 0xE9 is no UTF-8
READABLE = "caf\ufffd\ufffd.mp3"


@pytest.fixture
def store():
    with ScriptedServer() as store:
        yield store


@pytest.fixture
def odd(tmp_path) -> Path:
    (tmp_path / ODD).write_bytes(b"la")
    return tmp_path / ODD


def takes_parts(api: FakeApi, store: ScriptedServer, count: int) -> str:
    """Answers `POST /uploads` with `count` parts of one byte. Returns the upload's path."""
    upload_id = str(uuid4())
    parts = [
        {"number": number, "url": store.on(f"/{number}", serve(b"")), "bytes": 1}
        for number in range(1, count + 1)
    ]
    api.on("/uploads", answer(201, {"upload_id": upload_id, "audio": f"upload:{upload_id}", "parts": parts}))
    api.on(f"/uploads/{upload_id}", answer(200, {}))
    api.on(f"/uploads/{upload_id}/complete", answer(200, {}))
    return f"/uploads/{upload_id}"


def test_a_file_whose_name_is_no_text_is_uploaded_by_a_readable_one(fake_api, uvr, odd):
    task_uuid = fake_api.takes_submissions(task())
    result = uvr("submit", str(odd), SONG)
    assert (result.exit_code, result.stdout) == (0, f"{task_uuid}\n" * 2)
    form, _ = fake_api.requests("/generate")
    assert f'filename="{READABLE}"'.encode() in form.body


def test_so_is_a_large_one(fake_api, store, uvr, odd, monkeypatch):
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
    fake_api.takes_submissions(task())
    takes_parts(fake_api, store, 2)
    assert uvr("submit", str(odd)).exit_code == 0
    assert fake_api.requests("/uploads")[0].json()["filename"] == READABLE


@pytest.mark.parametrize(
    "options",
    [
        ("--label", "caf\udce9"),
        ("--stems", "a,caf\udce9"),
        ("--hook", "https://example.com/caf\udce9"),
        ("--preset", "\ud800"),
    ],
)
def test_an_option_that_is_no_text_is_told_and_the_other_songs_go_on(fake_api, uvr, tmp_path, options):
    (tmp_path / "song.mp3").write_bytes(b"la")
    task_uuid = fake_api.takes_submissions(task())
    result = uvr("submit", str(tmp_path / "song.mp3"), SONG, *options)
    assert (result.exit_code, result.stdout) == (Exit.BAD_REQUEST, f"{task_uuid}\n")
    assert "expected text in UTF-8" in result.stderr
    assert len(fake_api.requests("/generate")) == 1


@pytest.mark.parametrize("path", ["a\0b.mp3", "\ud800.mp3"])
def test_what_can_be_no_path_is_told(fake_api, path):
    with (
        UvrClient(fake_api.url, "admin", "password") as client,
        pytest.raises(UploadFailed, match="not the path"),
    ):
        client.submit(path)


def test_a_part_that_fails_ends_the_others_at_once(fake_api, store, tmp_path, monkeypatch):
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
    upload = takes_parts(fake_api, store, 12)
    for number in range(2, 5):
        store.on(f"/{number}", stall())

    def refuse_beside_the_others(request, connection) -> None:
        store.wait_for_requests(5)
        serve(b"no", 403)(request, connection)

    store.on("/5", refuse_beside_the_others)
    (tmp_path / "song.wav").write_bytes(b"a" * 12)
    with (
        UvrClient(fake_api.url, "admin", "password", timeout_s=600, patience=impatient()) as client,
        pytest.raises(UploadFailed, match="status 403"),
    ):
        client.submit(tmp_path / "song.wav")
    assert sorted(request.target for request in store.requests()) == ["/1", "/2", "/3", "/4", "/5"]
    assert [request.method for request in fake_api.requests(upload)] == ["DELETE"]


def test_an_interrupt_ends_an_upload_whose_parts_the_store_does_not_answer(
    fake_api, store, uvr_environment, tmp_path
):
    upload = takes_parts(fake_api, store, 12)
    for number in range(2, 13):
        store.on(f"/{number}", stall())
    with (tmp_path / "song.wav").open("wb") as song:
        song.truncate(64 * 1024 * 1024)
    sending = process(uvr_environment, "submit", str(tmp_path / "song.wav"))
    store.wait_for_requests(5)
    sending.send_signal(signal.SIGINT)
    out, err = sending.communicate(timeout=20)  # one request to the store may take 30 s
    assert (sending.returncode, out) == (Exit.INTERRUPTED, "")
    assert "Traceback" not in err
    assert [request.method for request in fake_api.requests(upload)] == ["DELETE"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--label", "caf\udce9"),
        ("list", "--search", "caf\udce9"),
        ("list", "--idempotency-key", "caf\udce9"),
        ("usage", "--user", "caf\udce9"),
        ("usage", "--from", "caf\udce9"),
    ],
)
def test_a_filter_that_is_no_text_is_told(fake_api, uvr, arguments):
    result = uvr(*arguments)
    assert (result.exit_code, fake_api.requests()) == (Exit.BAD_REQUEST, [])
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["UVR_USERNAME", "UVR_PASSWORD", "UVR_API_KEY", "UVR_URL"])
def test_a_setting_that_is_no_text_is_told(fake_api, uvr, name):
    given = {name: "caf\udce9"}
    if name == "UVR_API_KEY":
        given |= {"UVR_USERNAME": "", "UVR_PASSWORD": ""}
    result = uvr("list", **given)
    assert (result.exit_code, fake_api.requests()) == (Exit.BAD_SETTINGS, [])
    assert "codec" not in result.stderr
    assert result.stderr.count("\n") == 1
