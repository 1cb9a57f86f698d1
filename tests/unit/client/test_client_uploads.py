"""Tests the upload of songs: odd names, parts that fail or are interrupted, and what is left in the store."""

import signal
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.client.direct_uploads import takes_parts
from tests.support.client.fake_api import FakeApi, answer, problem, task
from tests.support.client.impatient import impatient, process
from tests.support.http_server import ScriptedServer, in_turn, redirect, reset, serve, stall
from tests.support.ports import take_port
from uvr_client import RequestError, UploadFailed, UvrClient, UvrError
from uvr_client.errors import OutputFailed
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


@pytest.fixture
def songs(tmp_path, monkeypatch) -> Path:
    """A directory of two songs, which are large enough to go straight into the store."""
    monkeypatch.setattr("uvr_client.songs._DIRECT_BYTES", 1)
    (tmp_path / "songs").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "songs" / name).write_bytes(b"la")
    return tmp_path / "songs"


@pytest.fixture
def client(fake_api):
    with UvrClient(fake_api.url, "admin", "password", patience=impatient()) as client:
        yield client


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


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@pytest.mark.parametrize("number", [1, 2])  # the first part is sent alone
def test_a_part_whose_refusal_may_pass_is_sent_again(fake_api, store, songs, status, number):
    pauses_s: list[float] = []
    fake_api.takes_submissions(task())
    takes_parts(fake_api, store, 2)
    # Else the next try might be sent on a connection that the server is about to close.
    ends = ("Connection", "close")
    busy = serve(b"not now", status, headers=[("Retry-After", "7"), ends])
    very_busy = serve(b"not now", status, headers=[("Retry-After", "3600"), ends])
    store.on(f"/{number}", in_turn(busy, very_busy, serve(b"")))
    with UvrClient(fake_api.url, "admin", "password", patience=impatient(pauses_s)) as client:
        client.submit(songs / "a.wav")
    # A request that meets the end of its server's connection is repeated after a short pause.
    asked_s = [pause_s for pause_s in pauses_s if pause_s >= 7]
    assert (len(store.requests(f"/{number}")), asked_s) == (3, [7, 15])


def test_one_that_came_too_slowly_is_sent_again(fake_api, store, client, songs):
    fake_api.takes_submissions(task())
    takes_parts(fake_api, store, 2)
    slow = b"<?xml version='1.0'?><Error><Code>RequestTimeout</Code><Message>Your socket</Message></Error>"
    store.on("/2", in_turn(serve(slow, 400, headers=[("Connection", "close")]), serve(b"")))
    client.submit(songs / "a.wav")
    assert len(store.requests("/2")) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
def test_one_that_is_refused_for_good_is_sent_once(fake_api, store, client, songs, status):
    takes_parts(fake_api, store, 2)
    store.on("/2", serve(b"no", status))
    with pytest.raises(UploadFailed, match=f"status {status}"):
        client.submit(songs / "a.wav")
    assert len(store.requests("/2")) == 1


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


def takes_uploads(api: FakeApi, store: ScriptedServer, count: int) -> list[str]:
    """Answers the next `count` requests to begin an upload, not more. Returns the uploads' paths."""
    paths, begun = [], []
    for _ in range(count):
        upload_id = str(uuid4())
        paths.append(f"/uploads/{upload_id}")
        url = store.on(f"/{upload_id}", serve(b""))
        begun.append(answer(201, {"upload_id": upload_id, "audio": f"upload:{upload_id}", "url": url}))
        api.on(paths[-1], answer(200, {}))
        api.on(f"{paths[-1]}/complete", answer(200, {}))
    api.on("/uploads", in_turn(*begun, problem(429, "Your uploads hold 9 bytes, and 9 are allowed")))
    return paths


def names(paths: list[str]) -> str:
    return " ".join(f"upload:{path.removeprefix('/uploads/')}" for path in paths)


def removals(api: FakeApi, paths: list[str]) -> list[int]:
    """Returns how often the api was asked to remove each of the uploads."""
    return [[request.method for request in api.requests(path)].count("DELETE") for path in paths]


def notes_of(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def nowhere(api: FakeApi) -> str:
    """Answers requests to begin an upload with an address that nobody serves. Returns the upload's path."""
    upload_id = str(uuid4())
    begun = {
        "upload_id": upload_id,
        "audio": f"upload:{upload_id}",
        "url": f"http://127.0.0.1:{take_port()}/",
    }
    api.on("/uploads", answer(201, begun))
    api.on(f"/uploads/{upload_id}", answer(200, {}))
    return f"/uploads/{upload_id}"


def submitted(client: UvrClient, way: str, songs: Path, **options) -> None:
    """Submits one song to /generate, or both to /batches."""
    if way == "/generate":
        client.submit(songs / "a.wav", **options)
    else:
        client.submit_batch([{"audio": songs / name} for name in ("a.wav", "b.wav")], **options)


WAYS = pytest.mark.parametrize(("way", "count"), [("/generate", 1), ("/batches", 2)])


@WAYS
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 429])
def test_a_refused_submission_leaves_no_uploads(fake_api, store, client, songs, way, count, status):
    paths = takes_uploads(fake_api, store, count)
    fake_api.on(way, problem(status, "preset: there is no such preset"))
    with pytest.raises(RequestError, match="no such preset") as caught:
        submitted(client, way, songs)
    assert (removals(fake_api, paths), notes_of(caught.value)) == ([1] * count, [])


@WAYS
def test_nor_does_one_that_cannot_be_sent(fake_api, store, client, songs, way, count):
    paths = takes_uploads(fake_api, store, count)
    with pytest.raises(TypeError):
        submitted(client, way, songs, metadata={"path": songs})
    assert (removals(fake_api, paths), fake_api.requests(way)) == ([1] * count, [])


@pytest.mark.parametrize("failure", ["no room", "no file", "refused by the store", "incomplete", "no store"])
def test_nor_does_a_batch_one_of_whose_uploads_fails(fake_api, store, client, songs, failure):
    paths = takes_uploads(fake_api, store, 1 if failure == "no room" else 2)
    if failure == "no file":
        (songs / "b.wav").unlink()
    elif failure == "refused by the store":
        store.on(paths[1].removeprefix("/uploads"), serve(b"no", 403))
    elif failure == "incomplete":
        fake_api.on(f"{paths[1]}/complete", problem(409, "The upload is incomplete"))
    elif failure == "no store":
        first = fake_api._scripts["/uploads"]
        paths[1] = nowhere(fake_api)
        fake_api.on("/uploads", in_turn(first, fake_api._scripts["/uploads"]))
    with pytest.raises(UvrError) as caught:
        submitted(client, "/batches", songs)
    begun = paths[:1] if failure == "no file" else paths
    assert (removals(fake_api, begun), notes_of(caught.value)) == ([1] * len(begun), [])
    assert fake_api.requests("/batches") == []


def test_a_song_that_goes_through_the_api_instead_leaves_no_second_upload(fake_api, client, songs):
    fake_api.takes_submissions(task())
    path = nowhere(fake_api)
    client.submit(songs / "a.wav")
    assert removals(fake_api, [path]) == [1]


@WAYS
def test_a_submission_that_is_taken_keeps_its_uploads(fake_api, store, client, songs, way, count):
    paths = takes_uploads(fake_api, store, count)
    fake_api.takes_submissions(task())
    fake_api.on("/batches", answer(200, {"batch_uuid": str(uuid4()), "tasks": []}))
    submitted(client, way, songs)
    assert removals(fake_api, paths) == [0] * count


@WAYS
@pytest.mark.parametrize(
    "lost",
    [
        problem(503, "please submit it again"),
        problem(500, "?"),
        reset(),
        redirect("/sign-in"),
        *(serve(other) for other in (b"<html>sign in</html>", b"", b"{}", b"\xff")),
    ],
)
def test_so_does_one_that_may_have_been_taken_and_they_are_named(
    fake_api, store, client, songs, way, count, lost
):
    paths = takes_uploads(fake_api, store, count)
    fake_api.on(way, lost)
    with pytest.raises(UvrError) as caught:
        submitted(client, way, songs)
    (note,) = notes_of(caught.value)
    assert note.startswith("kept, ")
    assert f": {names(paths)}. " in note
    assert removals(fake_api, paths) == [0] * count


def test_a_refusal_after_a_lost_answer_counts(fake_api, store, client, songs):
    paths = takes_uploads(fake_api, store, 1)
    fake_api.on("/generate", in_turn(reset(), problem(429, "the queue is full")))
    with pytest.raises(RequestError):
        submitted(client, "/generate", songs)
    assert removals(fake_api, paths) == [1]


@pytest.mark.parametrize(
    ("script", "asked", "why"),
    [
        (problem(503, "The store is away"), [1, 0], "The store is away"),
        (reset(), [1, 0], "does not answer"),
        (problem(409, "The upload is used by a task"), [1, 1], "a task needs them"),
    ],
)
def test_uploads_that_cannot_be_removed_are_named(fake_api, store, client, songs, script, asked, why):
    paths = takes_uploads(fake_api, store, 2)
    fake_api.on("/batches", problem(400, "items[0]: wrong"))
    for path in paths:
        fake_api.on(path, script)
    with pytest.raises(RequestError, match="wrong") as caught:
        submitted(client, "/batches", songs)
    (note,) = notes_of(caught.value)
    assert note.startswith(f"still in the store until it expires: {names(paths)} (")
    assert why in note
    assert removals(fake_api, paths) == asked


class Interrupted:
    """Progress of uploads, which Ctrl-C interrupts at the end of the `number`th one."""

    def __init__(self, number: int):
        self._left = number

    def __call__(self, sent_bytes: int, size_bytes: int) -> None:
        self._left -= sent_bytes == size_bytes
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["interrupt", "failure"])
def test_what_a_slow_api_cannot_remove_in_time_is_named(fake_api, store, client, songs, kind):
    # A second passes each time that the client's clock is read: between two removals.
    count, in_time = (12, 4) if kind == "interrupt" else (70, 59)
    paths = takes_uploads(fake_api, store, count)
    fake_api.on("/batches", problem(400, "items[0]: wrong"))
    on_progress = Interrupted(count) if kind == "interrupt" else Interrupted(-1)
    with pytest.raises(KeyboardInterrupt if kind == "interrupt" else RequestError) as caught:
        client.submit_batch([{"audio": songs / "a.wav"}] * count, on_progress=on_progress)
    (note,) = notes_of(caught.value)
    assert removals(fake_api, paths) == [1] * in_time + [0] * (count - in_time)
    assert f"expires: {names(paths[in_time:])} (removing them takes too long)" in note


@pytest.mark.parametrize("error", [OutputFailed("full"), BrokenPipeError()])
def test_uploads_are_removed_though_nobody_can_be_told(fake_api, store, songs, error):
    def say(text: str) -> None:
        raise error

    paths = takes_uploads(fake_api, store, 2)
    fake_api.on("/batches", problem(400, "items[0]: wrong"))
    patience = replace(impatient(), say=say)
    with (
        UvrClient(fake_api.url, "admin", "password", patience=patience) as client,
        pytest.raises(RequestError, match="wrong"),
    ):
        submitted(client, "/batches", songs)
    assert removals(fake_api, paths) == [1, 1]


def test_an_upload_that_is_gone_already_is_not_named(fake_api, store, client, songs):
    paths = takes_uploads(fake_api, store, 1)
    fake_api.on("/generate", problem(410, "The upload has expired"))
    fake_api.on(paths[0], problem(404, "There is no such upload"))
    with pytest.raises(RequestError, match="expired") as caught:
        submitted(client, "/generate", songs)
    assert notes_of(caught.value) == []


@pytest.mark.parametrize("status", [400, 429])  # an error of this song, and one that the next would meet too
def test_the_commands_name_what_is_left(fake_api, store, uvr, songs, status):
    paths = takes_uploads(fake_api, store, 3)
    fake_api.on("/generate", problem(status, "refused"))
    fake_api.on("/batches", problem(status, "refused"))
    for path in paths:
        fake_api.on(path, problem(503, "The store is away"))
    one, both = uvr("submit", str(songs / "a.wav")), uvr("batch", str(songs))
    for result, left in ((one, paths[:1]), (both, paths[1:])):
        assert "refused" in result.stderr
        assert f"\nstill in the store until it expires: {names(left)} (The store is away)" in result.stderr


def test_who_goes_on_through_the_api_is_told_what_is_left(fake_api, uvr, songs):
    fake_api.takes_submissions(task())
    path = nowhere(fake_api)
    fake_api.on(path, problem(503, "The store is away"))
    result = uvr("submit", str(songs / "a.wav"))
    assert (result.exit_code, f"{names([path])} (The store is away)" in result.stderr) == (0, True)


@pytest.fixture
def interrupted(fake_api, store, uvr_environment, songs):
    """Interrupts `uvr batch` in a request that is not answered. Returns what the command said."""

    def run(server: ScriptedServer, path: str) -> str:
        server.on(path, stall())
        sending = process(uvr_environment, "batch", str(songs))
        server.wait_for_requests(1, path=path)
        sending.send_signal(signal.SIGINT)
        out, err = sending.communicate(timeout=60)
        assert (sending.returncode, out) == (Exit.INTERRUPTED, "")
        assert "Traceback" not in err
        return err

    return run


def test_an_interrupt_before_the_submission_removes_the_uploads(fake_api, store, interrupted):
    paths = takes_uploads(fake_api, store, 2)
    err = interrupted(store, paths[1].removeprefix("/uploads"))
    assert (removals(fake_api, paths), "upload:" in err) == ([1, 1], False)
    assert "\nremoving 2 uploads from the store; Ctrl-C leaves them there\n" in err


def test_one_after_it_keeps_and_names_them(fake_api, store, interrupted):
    paths = takes_uploads(fake_api, store, 2)
    err = interrupted(fake_api, "/batches")
    assert (removals(fake_api, paths), f": {names(paths)}. " in err) == ([0, 0], True)


def test_one_while_they_are_removed_names_the_rest(fake_api, store, interrupted):
    paths = takes_uploads(fake_api, store, 2)
    fake_api.on("/batches", problem(400, "items[0]: wrong"))
    # The interrupt comes with the first removal's request, which is not answered.
    err = interrupted(fake_api, paths[0])
    assert removals(fake_api, paths) == [1, 0]
    assert f"\nstill in the store until it expires: {names(paths)} (interrupted)" in err


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


def test_what_is_left_of_a_store_out_of_reach_is_named_and_the_song_goes_by_a_form(
    fake_api, store, uvr, songs
):
    (path,) = takes_uploads(fake_api, store, 1)
    begun = {"upload_id": path.removeprefix("/uploads/"), "audio": names([path]), "url": "http://a..b/"}
    fake_api.on("/uploads", answer(201, begun))
    fake_api.on(path, problem(503, "The store is away"))
    task_uuid = fake_api.takes_submissions(task())
    result = uvr("submit", str(songs / "a.wav"))
    assert (result.exit_code, result.stdout) == (0, f"{task_uuid}\n")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("still in the store")]
    assert line.startswith(f"still in the store until it expires: {names([path])} (The store is away)")
    assert "trying again" not in line
