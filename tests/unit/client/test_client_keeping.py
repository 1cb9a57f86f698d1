"""What is kept of ended tasks: deleted, packed into one file, measured."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import zipfile
from uuid import uuid4

import pytest

from tests.support.client.fake_api import answer, problem, task
from tests.support.client.impatient import impatient, process
from tests.support.http_server import serve
from tests.support.paths import REPOSITORY
from uvr_client import Conflict, DownloadFailed, NotFound, Unreachable, UvrClient

pytestmark = pytest.mark.network

USAGE = {
    "users": [
        {
            "user": "alice",
            "results": {"count": 2, "bytes": 1_016_064_528},
            "uploads": {"count": 1, "bytes": 99},
        },
        {"user": "bob", "results": {"count": 0, "bytes": 0}},
    ]
}


@pytest.fixture
def client(fake_api):
    with UvrClient(fake_api.url, "admin", "password", patience=impatient()) as client:
        yield client


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a (vocals).wav", b"vocals" * 1000)
    return file.getvalue()


def test_a_deletion_is_asked_for_once_more_after_a_lost_answer(fake_api, client):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}", answer(202, {"task_uuid": task_uuid, "message": "…"}))
    fake_api.first(f"/tasks/{task_uuid}", serve(b"", 503))
    client.delete(task_uuid)
    assert [request.method for request in fake_api.requests()] == ["DELETE"] * 2
    fake_api.on(f"/tasks/{task_uuid}", problem(409, "The task is queued", state="queued"))
    with pytest.raises(Conflict) as caught:
        client.delete(task_uuid)
    assert caught.value.state == "queued"


def test_the_command_asks_before_it_deletes(fake_api, uvr):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}", answer(202, {"task_uuid": task_uuid}))
    refused = uvr("delete", task_uuid)
    assert (refused.exit_code, fake_api.requests()) == (130, [])
    assert "for good?" in refused.stderr
    assert uvr("delete", "--yes", task_uuid).stdout == f"{task_uuid} will be deleted within moments\n"
    unknown = str(uuid4())
    fake_api.on(f"/tasks/{unknown}", problem(404, "There is no such task"))
    both = uvr("delete", "--yes", "--json", unknown, task_uuid)
    assert (both.exit_code, json.loads(both.stdout)) == (5, {"task_uuid": task_uuid})


def test_a_deleted_task_is_shown_as_such(fake_api, uvr):
    task_uuid = fake_api.add(task("succeeded", deleted_at=1e9))
    assert "\ndeleted       2001-09-0" in uvr("status", task_uuid).stdout
    followed = uvr("watch", task_uuid, "--download", "stems")
    assert followed.exit_code == 5
    assert "has no stems: they are deleted" in followed.stderr
    assert uvr("watch", task_uuid).exit_code == 0


def test_who_waits_for_the_stems_of_a_deleted_task_is_told(fake_api, uvr):
    fake_api.takes_submissions(task("succeeded", deleted_at=1e9))
    waited = uvr("submit", "--wait", "--idempotency-key", "order-17", "https://example.com/song.mp3")
    assert waited.exit_code == 5
    assert "has no stems: they are deleted" in waited.stderr


@pytest.mark.parametrize("output", [".", "..", "/", "", "there"])
def test_an_archive_is_not_fetched_into_a_directory(fake_api, uvr, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    refused = uvr("archive", str(uuid4()), "--output", output)
    assert (refused.exit_code, fake_api.requests()) == (74, [])
    assert re.fullmatch("error: .*: this is a directory: name a file\n", refused.stderr)
    refused = uvr("archive", str(uuid4()), "--output", "x" * 300)
    assert (refused.exit_code, "File name too long" in refused.stderr) == (74, True)


def test_an_archive_gets_its_name_once_it_is_whole(fake_api, client, tmp_path):
    path, whole = f"/tasks/{uuid4()}/archive.zip", zipped()
    task_uuid = path.split("/")[2]
    fake_api.on(path, serve(whole, 200, "application/zip"))
    fake_api.first(path, serve(whole[:99], 200, "application/zip", declared_bytes=len(whole)))
    target = tmp_path / "stems.zip"
    assert client.archive(task_uuid, target) == target
    assert [file.name for file in tmp_path.iterdir()] == ["stems.zip"]
    assert target.read_bytes() == whole
    assert len(fake_api.requests(path)) == 2


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (serve(zipped()[:99], 200, "application/zip"), DownloadFailed),
        (serve(zipped().replace(b"vocals" * 9, b"VOCALS" * 9), 200, "application/zip"), DownloadFailed),
        (serve(zipped()[:99], 200, "application/zip", declared_bytes=999), Unreachable),
        (problem(410, "The task's results have been deleted", error_code="task_deleted"), NotFound),
        (problem(409, "The task has no stems", state="queued"), Conflict),
    ],
)
def test_what_is_no_whole_archive_leaves_no_file(fake_api, client, tmp_path, script, error):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}/archive.zip", script)
    with pytest.raises(error):
        client.archive(task_uuid, tmp_path / "stems.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_the_archive_by_its_task(fake_api, uvr, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}/archive.zip", serve(zipped(), 200, "application/zip"))
    assert uvr("archive", task_uuid).stdout == f"{task_uuid}.zip\n"
    result = uvr("archive", task_uuid, "--output", "b.zip", "--json")
    assert json.loads(result.stdout) == {"task_uuid": task_uuid, "file": "b.zip"}
    assert {path.name for path in tmp_path.glob("*.zip")} == {f"{task_uuid}.zip", "b.zip"}


@pytest.mark.parametrize(
    "name",
    ["曲\u3000名", "a\u00a0b", "👩\u200d🎤", "a\tb\rc\x1b[1m", "a\nb", "caf\udce9", "a\u202eb", "[bold]"],
)
def test_the_printed_path_is_the_archives_own(fake_api, uvr, tmp_path, name):
    task_uuid, target = str(uuid4()), tmp_path / f"{name}.zip"
    fake_api.on(f"/tasks/{task_uuid}/archive.zip", serve(zipped(), 200, "application/zip"))
    printed = uvr("archive", task_uuid, "--output", str(target)).stdout_bytes
    assert printed == os.fsencode(target) + b"\n"
    assert os.path.exists(printed[:-1])
    as_json = json.loads(uvr("archive", task_uuid, "--output", str(target), "--json").stdout)
    assert as_json["file"] == str(target)


def test_a_shell_finds_the_archive_by_what_was_printed(fake_api, uvr_environment, tmp_path):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}/archive.zip", serve(zipped(), 200, "application/zip"))
    script = 'file=$("$@") && test -s "$file"'
    target = str(tmp_path / "曲\u3000caf\udce9.zip")
    command = [sys.executable, "-m", "uvr_client", "archive", task_uuid, "--output", target]
    found = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        cwd=REPOSITORY / "client",
        env=os.environ | uvr_environment,
        timeout=60,
    )
    assert found.returncode == 0


def test_on_a_terminal_a_path_controls_nothing(fake_api, uvr_environment, tmp_path):
    task_uuid, target = str(uuid4()), tmp_path / "曲\u3000\x1b[1m\udce9.zip"
    fake_api.on(f"/tasks/{task_uuid}/archive.zip", serve(zipped(), 200, "application/zip"))
    terminal, standard_output = pty.openpty()
    running = process(uvr_environment, "archive", task_uuid, "--output", str(target), stdout=standard_output)
    os.close(standard_output)
    shown = os.read(terminal, 1 << 16)
    running.communicate(timeout=60)
    os.close(terminal)
    assert shown.decode() == f"{tmp_path}/曲\u3000\\x1b[1m\\udce9.zip\r\n"


def test_usage_has_a_row_for_each_day_and_model(fake_api, uvr):
    day = {"day": "2026-11-28", "model": "m", "tasks": 2, "audio_s": 3725.4, "engine_s": 59.6, "bytes": 1000}
    users = [{**user, "days": [day]} for user in USAGE["users"][:1]]
    fake_api.on("/usage", answer(200, {"users": users}))
    lines = uvr("usage", "--from", "2026-11-01", "--to", "2026-11-30").stdout.splitlines()
    assert lines[-1].split() == ["2026-11-28", "alice", "m", "2", "1:02:05", "0:01:00", "1.0", "kB"]
    assert fake_api.requests("/usage")[0].target == "/usage?from=2026-11-01&to=2026-11-30"


def test_usage_is_told_in_units_for_people_or_in_bytes(fake_api, uvr):
    fake_api.on("/usage", answer(200, USAGE))
    header, alice, bob = uvr("usage").stdout.splitlines()
    assert header.split() == ["user", "tasks", "with", "stems", "stems", "uploads", "uploaded"]
    assert alice.split() == ["alice", "2", "1.0", "GB", "1", "99", "B"]
    assert bob.split() == ["bob", "0", "0", "B", "?", "?"]
    lines = uvr("usage", "--all", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == USAGE["users"]
    uvr("usage", "--user", "b o")
    assert [request.target for request in fake_api.requests("/usage")] == [
        "/usage?",
        "/usage?all=true",
        "/usage?user=b+o",
    ]


def test_a_song_can_be_separated_anew(fake_api, uvr):
    fake_api.takes_submissions(task())
    uvr("submit", "https://example.com/a.mp3", "--refresh")
    assert fake_api.requests("/generate")[0].json()["cache"] == "refresh"
