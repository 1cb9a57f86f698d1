"""A batch by UvrClient and by `uvr batch`, against the real api's code."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.api.api_server import ApiServer, api_server
from tests.support.client.impatient import impatient
from tests.support.client.uvr import UvrCommand
from uvr_client import BadRequest, Conflict, NotFound, State, UvrClient
from uvr_client.command import app
from uvr_client.songs import SongSender

pytestmark = pytest.mark.network
SONGS = [{"audio": f"https://example.com/{number}.mp3"} for number in range(3)]


@pytest.fixture(scope="module")
def api():
    with api_server() as server:
        yield server


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        yield client


def test_a_batch_is_queued_seen_and_cancelled(client):
    queued = client.submit_batch(SONGS, {"label": "all"}, "https://example.com/hook", {"a": 1}, "order-18")
    again = client.submit_batch(SONGS, {"label": "all"}, "https://example.com/hook", {"a": 1}, "order-18")
    assert (again.batch_uuid, again.tasks) == (queued.batch_uuid, queued.tasks)
    seen = client.batch(queued.batch_uuid, offset=1, limit=1)
    assert (seen.count, seen.states, seen.metadata) == (3, {State.QUEUED: 3}, {"a": 1})
    assert [(item.index, item.task_uuid, item.label) for item in seen.items] == [
        (1, queued.tasks[1].task_uuid, "all")
    ]
    assert client.cancel_batch(queued.batch_uuid).batch_uuid == queued.batch_uuid
    assert (seen.callback.state, seen.callback.tries) == ("awaited", 0)
    with pytest.raises(Conflict, match="still to come"):
        client.redeliver_batch(queued.batch_uuid)
    with pytest.raises(NotFound):
        client.batch(queued.tasks[0].task_uuid)
    with pytest.raises(BadRequest, match=r"items\[1\]"):
        client.submit_batch([SONGS[0], {"audio": "ftp://example.com"}])


def test_the_callback_of_a_batch_that_is_over_is_sent_again(api, client):
    queued = client.submit_batch(SONGS[:1], hook_url="https://example.com/hook")
    (task_uuid,) = (task.task_uuid for task in queued.tasks)
    batch, task = api.view._reader.batch(queued.batch_uuid), api.view._reader.find(task_uuid)
    ended = task.model_copy(update={"state": type(task.state).SUCCEEDED, "at": task.at + 1})
    api.view.tell(batch.model_copy(update={"ended_at": ended.at}), ended)
    assert client.redeliver_batch(queued.batch_uuid).callback.state == "delivering"
    (asked,) = api.publisher.batch_redeliveries
    assert (asked.batch_uuid, asked.is_redelivery) == (queued.batch_uuid, True)


def test_the_command_submits_a_file_of_lines_and_says_which_line_is_wrong(api, client, tmp_path):
    uvr, lines = UvrCommand(api.url, tmp_path), tmp_path / "songs.jsonl"
    lines.write_text("\n\n".join(json.dumps({**song, "label": "own"}) for song in SONGS), encoding="utf-8")
    done = uvr("batch", "songs.jsonl", "--format", "flac")
    assert (done.returncode, done.stderr) == (0, "")
    seen = client.batch(done.stdout.strip())
    assert [item.label for item in seen.items] == ["own"] * 3
    assert client.status(seen.items[0].task_uuid).choices == {"output": {"format": "flac"}}
    lines.write_text("[" * 100_000, encoding="utf-8")
    deep = uvr("batch", "songs.jsonl")
    assert (deep.returncode, "line 1: not JSON" in deep.stderr, "Traceback" in deep.stderr) == (
        2,
        True,
        False,
    )
    lines.write_text('{"audio": "https://example.com/a"}\nsong.mp3\n', encoding="utf-8")
    wrong = uvr("batch", "songs.jsonl")
    assert (wrong.returncode, "line 2" in wrong.stderr) == (2, True)
    assert uvr("batch", str(tmp_path / "missing.jsonl")).returncode == 66


def test_lines_of_a_file_end_at_lf_alone_and_a_mark_of_utf_8_may_come_first(api, client, tmp_path):
    labels = ["a\u2028b", "a\u2029b", "a\u0085b", "a"]
    items = [json.dumps({**SONGS[0], "label": label}, ensure_ascii=False) for label in labels]
    (tmp_path / "songs.jsonl").write_bytes("\r\n".join(items).encode("utf-8-sig"))
    done = UvrCommand(api.url, tmp_path)("batch", "songs.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert [item.label for item in client.batch(done.stdout.strip()).items] == labels


@pytest.fixture
def sent(monkeypatch) -> list[str]:
    """The names of the files that would be uploaded: the api here has no store."""
    sent = []
    monkeypatch.setattr(
        SongSender, "upload", lambda self, path, uploads, tell: sent.append(path.name) or SONGS[0]["audio"]
    )
    return sent


@pytest.fixture
def songs(tmp_path) -> Path:
    (tmp_path / "songs").mkdir()
    return tmp_path / "songs"


def submit_all_of(songs: Path, api: ApiServer, *options: str) -> Result:
    environment = {"UVR_URL": api.url, "UVR_USERNAME": "admin", "UVR_PASSWORD": "password"}
    return CliRunner().invoke(app, ["batch", str(songs), *options], env=environment)


def test_a_directorys_files_may_have_any_name(api, client, songs, sent):
    """Each is uploaded, and its label is one that the api takes."""
    names = ["\n.mp3", " .mp3", "a\tb.mp3", "caf\udce9.mp3", "\u3000\u2028.mp3", f"{'x' * 230}.mp3"]
    for name in names:
        (songs / name).write_bytes(b"la")
    done = submit_all_of(songs, api)
    assert (done.exit_code, sent) == (0, sorted(names))
    labels = {item.label for item in client.batch(done.stdout.strip()).items}
    assert labels == {"\ufffd", None, "a\ufffdb", "caf\ufffd", "x" * 200}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_of_a_directory_only_its_visible_files_are_songs(api, songs, sent, options):
    """A link counts as what it leads to."""
    (songs.parent / "elsewhere").write_bytes(b"la")
    (songs / "song.mp3").write_bytes(b"la")
    (songs / "link.mp3").symlink_to(songs.parent / "elsewhere")
    for name in ("._song.mp3", ".hidden.wav", "cover.jpg", ".DS_Store"):
        (songs / name).write_bytes(b"la")
    (songs / "stems.wav").mkdir()
    (songs / "to_a_directory.wav").symlink_to(songs / "stems.wav")
    (songs / "nowhere.wav").symlink_to("gone.wav")
    os.mkfifo(songs / "pipe.wav")
    done = submit_all_of(songs, api, *options)
    assert (done.exit_code, sent) == (0, ["link.mp3", "song.mp3"])
    skipped = [line for line in done.stderr.splitlines() if "skipped" in line]
    assert skipped == [
        f"{songs}: skipped 2 (hidden: the name begins with a dot)",
        f"{songs}: skipped 4 (no regular file)",
    ]


def test_a_directory_of_hidden_files_alone_has_no_songs(api, songs, sent):
    (songs / "._song.mp3").write_bytes(b"la")
    done = submit_all_of(songs, api)
    assert (done.exit_code, sent, "skipped 1" in done.stderr) == (2, [], True)
