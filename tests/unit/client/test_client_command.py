"""Tests `uvr submit` and `uvr watch`: their standard output, their messages and their exit codes."""

import hashlib
import json
import os
import signal
from uuid import uuid4

import pytest

from tests.support.client.fake_api import answer, event, problem, stream, task
from tests.support.client.impatient import objects, process
from tests.support.http_server import ScriptedServer, in_turn, serve
from tests.support.waiting import wait_for
from uvr_client import events
from uvr_client.exits import Exit

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"
STEM = b"la la la"


@pytest.fixture
def done(fake_api):
    """Yields a task that has succeeded, with a stem in a store."""
    with ScriptedServer() as store:
        stem = {
            "url": store.on("/vocals.wav", serve(STEM)),
            "sha256": hashlib.sha256(STEM).hexdigest(),
            "bytes": len(STEM),
            "duration_s": 1.5,
        }
        result = {"stems": {"vocals": stem}, "timestamp": 1e9, "model": "centre", "device": "cpu"}
        status = task("succeeded", progress=1.0, result=result)
        fake_api.takes_submissions(status)
        yield status


@pytest.mark.parametrize("name", ["曲\u3000名", "caf\udce9", "a\tb"])
def test_the_paths_of_downloaded_stems_are_their_own(uvr, done, tmp_path, name):
    directory = tmp_path / name
    printed = uvr("watch", done["task_uuid"], "--download", str(directory)).stdout_bytes
    path = os.fsencode(directory / done["task_uuid"] / "vocals.wav")
    assert os.path.exists(path)
    assert printed.endswith(b"\n  vocals       " + path + b"\n")


def test_submit_prints_the_id_and_nothing_else(fake_api, uvr):
    task_uuid = fake_api.takes_submissions(task())
    options = ("--hook", "https://example.com/hook", "--cancel-after", "90", "--priority", "5")
    result = uvr("submit", SONG, SONG, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{task_uuid}\n" * 2, "")
    assert fake_api.requests("/generate")[0].json() == {
        "audio": SONG,
        "hook_url": "https://example.com/hook",
        "cancel_after_s": 90,
        "priority": 5,
    }
    assert uvr("submit", SONG, "--priority", "6").exit_code == 2


def test_submit_tells_scripts_the_key_too(fake_api, uvr):
    task_uuid = fake_api.takes_submissions(task())
    result = uvr("submit", "--json", "--idempotency-key", "order-17", SONG)
    (status,) = objects(result)
    assert (status["task_uuid"], status["audio"], status["idempotency_key"]) == (task_uuid, SONG, "order-17")
    assert fake_api.requests("/generate")[0].headers["idempotency-key"] == "order-17"


def test_one_address_that_is_wrong_keeps_the_others_not_back(fake_api, uvr):
    task_uuid = fake_api.takes_submissions(task())
    fake_api.first("/generate", problem(400, "audio: it must begin with http:// or https://"))
    result = uvr("submit", "ftp://x", SONG)
    assert (result.exit_code, result.stdout) == (Exit.BAD_REQUEST, f"{task_uuid}\n")
    assert result.stderr == "error: ftp://x: audio: it must begin with http:// or https://\n"


def test_where_no_more_is_taken_the_rest_is_not_submitted_and_what_was_is_waited_for(fake_api, uvr, done):
    full = problem(429, "Too many tasks are queued", [("Retry-After", "42")])
    fake_api.on("/generate", in_turn(fake_api._scripts["/generate"], full))
    result = uvr("submit", "--wait", "--json", SONG, f"{SONG}?2", f"{SONG}?3")
    assert result.exit_code == Exit.REFUSED
    assert [o["state"] for o in objects(result)] == ["succeeded"]
    assert (
        f"error: {SONG}?2: Too many tasks are queued\nnot submitted because of this error: {SONG}?3\n"
        in result.stderr
    )
    assert len(fake_api.requests("/generate")) == 2


def test_submit_waits_and_puts_the_stems_where_asked(uvr, done, tmp_path):
    result = uvr("submit", SONG, "--download", str(tmp_path / "stems"))
    path = tmp_path / "stems" / done["task_uuid"] / "vocals.wav"
    assert path.read_bytes() == STEM
    assert result.exit_code == 0
    assert result.stdout == f"{done['task_uuid']} succeeded\n  vocals       {path}\n"
    assert f"{done['task_uuid']} queued: {SONG}" in result.stderr


def test_scripts_get_one_object_a_task_with_its_files(uvr, done, tmp_path):
    result = uvr("submit", SONG, "--wait", "--json", "--download", str(tmp_path))
    (status,) = objects(result)
    assert (status["state"], status["audio"]) == ("succeeded", SONG)
    assert status["files"] == {"vocals": str(tmp_path / done["task_uuid"] / "vocals.wav")}
    assert status["result"] == done["result"] | {"gain": 1.0}


def test_a_stem_with_other_bytes_is_told_and_not_kept(fake_api, uvr, done, tmp_path):
    done["result"]["stems"]["vocals"]["sha256"] = "0" * 64
    fake_api.add(done)
    result = uvr("watch", done["task_uuid"], "--download", str(tmp_path / "stems"))
    assert result.exit_code == Exit.DOWNLOAD_FAILED
    assert "vocals: sha256 is" in result.stderr
    assert not [path for path in (tmp_path / "stems").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("state", "fields", "code"),
    [
        ("succeeded", {}, Exit.DONE),
        ("failed", {"error_code": "not_audio"}, Exit.FAILED),
        ("cancelled", {"error_code": "cancelled"}, Exit.CANCELLED),
        ("failed", {"error_code": "deadline_exceeded"}, Exit.CANCELLED),
    ],
)
def test_who_waited_ends_as_the_task_has(fake_api, uvr, state, fields, code):
    task_uuid = fake_api.takes_submissions(task(state, **fields))
    assert uvr("submit", "--wait", SONG).exit_code == code
    assert uvr("watch", task_uuid).exit_code == code
    assert uvr("status", task_uuid).exit_code == 0


def test_of_several_ends_the_highest_counts(fake_api, uvr):
    ids = [fake_api.add(task(state)) for state in ("succeeded", "failed", "cancelled")]
    assert uvr("watch", *ids).exit_code == Exit.FAILED
    result = uvr("watch", str(uuid4()), *ids)
    assert (result.exit_code, len(result.stdout.splitlines())) == (Exit.NOT_FOUND, 3)


def test_watch_tells_scripts_each_change(fake_api, uvr):
    status = task("failed", error_code="not_audio")
    before = {**status, "state": "separating", "progress": 0.5}
    fake_api.on(f"/tasks/{status['task_uuid']}/events", stream(event(before, "1"), event(status, "2")))
    result = uvr("watch", "--json", status["task_uuid"])
    assert [o["state"] for o in objects(result)] == ["separating", "failed"]
    assert result.stderr == ""


def test_watch_tells_people_in_lines_where_there_is_no_terminal(fake_api, uvr):
    status = task("failed", error_code="not_audio", error_message="No audio was found")
    queued = {**status, "state": "queued", "error_code": None, "error_message": None}
    steps = [
        {**queued, "queue_place": 3, "queue_eta_s": 75.2},
        {**queued, "state": "separating", "progress": 0.5},
        {**queued, "state": "separating", "progress": 0.51},
        {**queued, "state": "separating", "progress": 0.7},
        status,
    ]
    parts = [event(step, str(number)) for number, step in enumerate(steps)]
    fake_api.on(f"/tasks/{status['task_uuid']}/events", stream(*parts))
    result = uvr("watch", status["task_uuid"])
    lines = [line.removeprefix(status["task_uuid"]) for line in result.stderr.splitlines()]
    assert lines == [
        " queued, place 3, starts in about 1 min 15 s",
        " separating, 50 %",
        " separating, 70 %",
    ]
    assert result.stdout == f"{status['task_uuid']} failed, not_audio: No audio was found\n"


def test_who_stops_waiting_leaves_the_task_as_it_is(fake_api, uvr_environment):
    task_uuid = fake_api.takes_submissions(task("separating", progress=0.5))
    waiting = process(uvr_environment, "submit", "--wait", SONG)
    fake_api.wait_for_requests(1, path=f"/tasks/{task_uuid}/events")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (Exit.INTERRUPTED, "")
    assert f"uvr watch {task_uuid}" in err
    assert "goes on" in err
    assert "Traceback" not in err
    assert [r.target for r in fake_api.requests()] == ["/generate", f"/tasks/{task_uuid}/events"]


def test_a_reader_that_goes_away_ends_it_quietly(fake_api, uvr_environment):
    found = [task() for _ in range(200)]
    fake_api.on("/tasks", answer(200, {"tasks": found, "next": "/tasks?more"}))  # each page names a next one
    listing = process(uvr_environment, "list", "--json", "--limit", "1000000")
    assert listing.stdout is not None
    json.loads(listing.stdout.readline())
    listing.stdout.close()
    assert listing.stderr is not None
    wait_for(lambda: listing.poll() is not None, 60, "end")
    assert (listing.returncode, listing.stderr.read()) == (Exit.BROKEN_PIPE, "")
    listing.stderr.close()


@pytest.fixture
def called(fake_api, done):
    """Returns the task of `done` while its receiver accepts no callback: the stream stays open."""
    status = {**done, "state": "delivering", "progress": 0.99, "error_code": "callback_failed"}
    fake_api.on(f"/tasks/{status['task_uuid']}", answer(200, status))
    return status


@pytest.mark.parametrize("command", [("submit", SONG), ("watch",)])
def test_stems_are_fetched_while_nobody_takes_the_callback(fake_api, uvr, called, tmp_path, command):
    """It may take a day until a receiver accepts the callback, or the uploader gives up."""
    waits = {**called, "next_try_at": 2e9}
    fake_api.on(f"/tasks/{waits['task_uuid']}/events", stream(event(waits, "1"), ends=False))
    given = command if command[0] == "submit" else (*command, waits["task_uuid"])
    result = uvr(*given, "--download", str(tmp_path))
    path = tmp_path / waits["task_uuid"] / "vocals.wav"
    assert path.read_bytes() == STEM
    assert result.exit_code == Exit.DONE
    message = (
        f"{waits['task_uuid']} separated; its callback has not been accepted yet\n  vocals       {path}\n"
    )
    assert result.stdout == message


def test_who_waits_sees_the_tasks_end_where_the_receiver_answers_at_once(
    fake_api, uvr, called, done, monkeypatch
):
    monkeypatch.setattr(events, "_RECEIVER_S", 60)  # the tests' clock advances 1 s each time it is read
    path = f"/tasks/{done['task_uuid']}/events"
    first = {**called, "error_code": None}
    fake_api.on(path, in_turn(stream(event(first, "1"), ends=False), stream(event(done, "2"), ends=False)))
    result = uvr("submit", SONG, "--wait", "--json")
    assert [one["state"] for one in objects(result)] == ["succeeded"]
    assert fake_api.requests(path)[1].headers["last-event-id"] == "1"


def test_a_receiver_that_hangs_is_waited_for_no_longer_than_a_moment(fake_api, uvr, called, monkeypatch):
    monkeypatch.setattr(events, "_RECEIVER_S", 0.2)
    first = {**called, "error_code": None}
    fake_api.on(f"/tasks/{first['task_uuid']}/events", stream(event(first, "1"), ends=False))
    result = uvr("submit", SONG, "--wait", "--json")
    (status,) = objects(result)
    assert (result.exit_code, status["state"], "result" in status) == (Exit.DONE, "delivering", True)


def test_who_only_watches_sees_the_callback_as_well(fake_api, uvr, called, done):
    waits = {**called, "next_try_at": 2e9}
    fake_api.on(f"/tasks/{done['task_uuid']}/events", stream(event(waits, "1"), event(done, "2")))
    assert [o["state"] for o in objects(uvr("watch", "--json", done["task_uuid"]))] == [
        "delivering",
        "succeeded",
    ]


def test_a_failure_is_waited_for_until_it_is_over(fake_api, uvr):
    status = task("failed", error_code="not_audio", error_message="No audio was found")
    fake_api.takes_submissions(status)
    before = {**status, "state": "delivering"}
    fake_api.on(f"/tasks/{status['task_uuid']}/events", stream(event(before, "1"), event(status, "2")))
    result = uvr("submit", SONG, "--wait")
    assert (result.exit_code, result.stdout.split()[1]) == (Exit.FAILED, "failed,")


def test_what_the_api_does_not_know_of_a_submission_is_said(fake_api, uvr):
    task_uuid = fake_api.takes_submissions(task())
    queued = {"message": "m", "status": "queued", "task_uuid": task_uuid, "ignored": ["cancel_after_s"]}
    fake_api.on("/generate", answer(200, queued))
    result = uvr("submit", SONG, "--cancel-after", "60")
    assert (result.exit_code, result.stdout) == (0, f"{task_uuid}\n")
    assert result.stderr == f"{task_uuid}: the api is older than this command and ignored cancel_after_s\n"
