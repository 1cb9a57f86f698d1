"""Tests the upload of a file that changes, or can no longer be read, while it is sent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client.direct_uploads import takes_parts
from tests.support.client.fake_api import problem, task
from tests.support.client.impatient import impatient
from tests.support.http_server import ScriptedServer
from uvr_client import UploadFailed, UvrClient
from uvr_client.exits import Exit

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"
CHANGED = "the file has changed while it was uploaded"
# More than one piece of a form.
BYTES = 200_000


@pytest.fixture
def store():
    with ScriptedServer() as store:
        yield store


@pytest.fixture
def client(fake_api):
    with UvrClient(fake_api.url, "admin", "password", patience=impatient()) as client:
        yield client


@pytest.fixture
def direct(monkeypatch) -> None:
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"la")


def rewrite(path: Path) -> None:
    """Gives the file another content of the same size."""
    path.write_bytes(b"b" * path.stat().st_size)
    os.utime(path, ns=(0, 0))


CHANGES = pytest.mark.parametrize("change", [shrink, grow, rewrite])


WAYS = pytest.mark.parametrize("way", ["/generate", "/batches"])


def submitted(client: UvrClient, song: Path, way: str, **options) -> None:
    if way == "/generate":
        client.submit(song, **options)
    else:
        client.submit_batch([{"audio": song}, {"audio": SONG}], **options)


def once(change: Callable[[Path], None], path: Path) -> Callable[[int, int], None]:
    """Returns an `on_progress` that changes the file when the first of it was sent."""
    left = [change]

    def on_progress(sent_bytes: int, size_bytes: int) -> None:
        if left:
            left.pop()(path)

    return on_progress


@CHANGES
@pytest.mark.parametrize("size_bytes", [2, BYTES])
def test_a_form_whose_file_changes_fails_and_is_not_sent_again(fake_api, tmp_path, change, size_bytes):
    pauses_s: list[float] = []
    fake_api.takes_submissions(task())
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a" * size_bytes)
    with (
        UvrClient(fake_api.url, "admin", "password", patience=impatient(pauses_s)) as client,
        pytest.raises(UploadFailed, match=f"^{song}: {CHANGED}$"),
    ):
        client.submit(song, on_progress=once(change, song))
    assert pauses_s == []


@CHANGES
@WAYS
def test_parts_whose_file_changes_leave_no_upload(fake_api, store, client, direct, tmp_path, change, way):
    upload = takes_parts(fake_api, store, 4)
    song = tmp_path / "song.wav"
    song.write_bytes(b"lala")
    with pytest.raises(UploadFailed, match=f"^{song}: {CHANGED}$"):
        submitted(client, song, way, on_progress=once(change, song))
    assert [request.method for request in fake_api.requests(upload)] == ["DELETE"]
    assert fake_api.requests(way) == []


def test_a_song_that_has_changed_is_not_sent_after_a_lost_answer(fake_api, client, tmp_path):
    song = tmp_path / "song.mp3"
    song.write_bytes(b"la")

    def change_and_refuse(request, connection) -> None:
        grow(song)
        problem(503, "not now")(request, connection)

    fake_api.on("/generate", change_and_refuse)
    with pytest.raises(UploadFailed, match=CHANGED):
        client.submit(song)
    # The next try has begun, and may have come before the file was looked at. No second song comes whole.
    assert sum(request.body.endswith(b"--\r\n") for request in fake_api.requests("/generate")) == 1


@pytest.mark.parametrize(
    ("put_there", "why"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (os.mkfifo, "not a regular file"),
        # A regular file whose reading gives EIO.
        (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),
    ],
)
def test_a_file_that_can_no_longer_be_read_is_told(fake_api, store, client, direct, tmp_path, put_there, why):
    upload = takes_parts(fake_api, store, 2)
    song = tmp_path / "song.wav"
    song.write_bytes(b"la")

    def replace(path: Path) -> None:
        path.unlink()
        put_there(path)

    with pytest.raises(UploadFailed, match=f"^{song}: .*{why}"):
        client.submit(song, on_progress=once(replace, song))
    assert [request.method for request in fake_api.requests(upload)] == ["DELETE"]


@WAYS
def test_a_pipe_is_no_song(fake_api, client, tmp_path, way):
    os.mkfifo(tmp_path / "song.wav")
    with pytest.raises(UploadFailed, match="not a regular file"):
        submitted(client, tmp_path / "song.wav", way)
    assert fake_api.requests() == []


@pytest.mark.parametrize("is_direct", [False, True])
def test_an_error_of_the_callers_function_is_not_told_as_the_files(
    fake_api, store, client, monkeypatch, tmp_path, is_direct
):
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1 if is_direct else BYTES)
    takes_parts(fake_api, store, 2)
    (tmp_path / "song.wav").write_bytes(b"la")

    def on_progress(sent_bytes: int, size_bytes: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        client.submit(tmp_path / "song.wav", on_progress=on_progress)


@CHANGES
def test_the_command_names_the_song_and_goes_on_with_the_others(
    fake_api, store, uvr, direct, tmp_path, change
):
    task_uuid = fake_api.takes_submissions(task())
    upload = takes_parts(fake_api, store, 2)
    song = tmp_path / "song.wav"
    song.write_bytes(b"la")
    taken = store._scripts["/1"]

    def change_and_take(request, connection) -> None:
        change(song)
        taken(request, connection)

    store.on("/1", change_and_take)
    result = uvr("submit", SONG, str(song), SONG)
    assert (result.exit_code, result.stdout) == (Exit.UPLOAD_FAILED, f"{task_uuid}\n" * 2)
    assert f"{song}: {CHANGED}\n" in result.stderr
    assert [request.method for request in fake_api.requests(upload)] == ["DELETE"]
