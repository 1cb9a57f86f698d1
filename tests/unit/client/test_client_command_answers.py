"""Tests the other commands of `uvr`: their output, their error messages and their exit codes."""

from uuid import uuid4

import pytest

from tests.support.client.fake_api import answer, problem, task
from tests.support.client.impatient import objects
from tests.support.http_server import reset, serve
from uvr_client.exits import Exit
from uvr_client.transport import checked_url
from uvr_client.view import local_time

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"


def test_status_tells_all_that_is_known(fake_api, uvr):
    link = "https://store.example.com/vocals.wav?X-Amz-Signature=" + "0" * 600
    stems = {"vocals": {"url": link, "sha256": "0" * 64, "bytes": 1, "duration_s": 1.5}}
    result = {"stems": stems, "timestamp": 1e9, "model": "centre", "device": "cpu"}
    song = {"audio": "https://example.com/song.mp3", "hook_host": "example.org"}
    times = {"queued": 1e9 + 50, "downloading": 1e9 + 1}  # the task waits for a retry
    task_uuid = fake_api.add(task("succeeded", run=2, result=result, times=times, **song))
    text = uvr("status", task_uuid).stdout
    for expected in (task_uuid, "succeeded", "centre on cpu", f"{link}\n", "2, attempt 1", "by admin"):
        assert expected in text
    assert "\nsong          https://example.com/song.mp3\ncallback      to example.org\n" in text
    assert text.index("  downloading") < text.index("  queued")
    (status,) = objects(uvr("status", "--json", task_uuid))
    assert status["result"]["stems"] == stems


def test_list_asks_for_what_was_wanted_and_prints_a_line_each(fake_api, uvr):
    known = {"audio": "https://example.com/song.mp3", "hook_host": "example.org:8443"}
    found = [
        task("failed", error_code="http_error", error_message="HTTP error: 404", **known),
        task("queued"),
    ]
    fake_api.on("/tasks", answer(200, {"tasks": found}))
    result = uvr("list", "--state", "failed", "--since", "2026-01-01", "--limit", "7")
    header, first, second = result.stdout.splitlines()
    columns = ["task", "submitted", "state", "progress", "priority", "user", "song", "callback", "error"]
    assert header.split() == columns
    assert "https://example.com/song.mp3" in first
    assert "example.org:8443" in first
    assert (found[0]["task_uuid"] in first, found[1]["task_uuid"] in second) == (True, True)
    assert first.rstrip().endswith("http_error: HTTP error: 404")
    assert fake_api.requests("/tasks")[0].target == "/tasks?state=failed&submitted_since=1767225600.0&limit=7"
    assert len(objects(uvr("list", "--json", "--idempotency-key", "order-17"))) == 2
    assert "idempotency_key=order-17" in fake_api.requests("/tasks")[1].target
    uvr("list", "--search", "für elise")
    assert "search=f%C3%BCr+elise" in fake_api.requests("/tasks")[2].target


def test_an_empty_list_is_said_beside_the_results(fake_api, uvr):
    fake_api.on("/tasks", answer(200, {"tasks": []}))
    result = uvr("list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no tasks\n")
    assert (uvr("list", "--json").stdout, uvr("list", "--json").stderr) == ("", "")


def test_cancel_stops_each_task_that_can_be_stopped(fake_api, uvr):
    running, over, stopped = (fake_api.add(task(state)) for state in ("separating", "succeeded", "cancelled"))
    result = uvr("cancel", running, over, stopped)
    assert result.exit_code == Exit.CONFLICT
    assert result.stdout == f"{running} separating: it will be stopped in a moment\n{stopped} cancelled\n"
    assert result.stderr == f"error: {over}: The task is over: succeeded\n"


def test_redeliver_sends_again_what_is_over(fake_api, uvr):
    over, running = fake_api.add(task("succeeded")), fake_api.add(task("separating"))
    assert uvr("redeliver", over).stdout == f"{over} succeeded: its callback will be sent again\n"
    result = uvr("redeliver", running)
    assert (result.exit_code, result.stdout) == (Exit.CONFLICT, "")


def test_deliveries_are_a_line_each(fake_api, uvr):
    task_uuid = fake_api.add(task("delivering"))
    fake_api.on(f"/tasks/{task_uuid}/deliveries", answer(200, {"deliveries": []}))
    assert uvr("deliveries", task_uuid).stderr == "no callback was sent\n"  # an earlier api gives no reason
    failed = {"error_code": "callback_failed", "error_message": "status 500", "next_try_at": 1e9 + 60}
    tries = [{"run": 1, "try_number": 1, "started_at": 1e9, "took_s": 0.25, "status": 500, **failed}]
    fake_api.on(f"/tasks/{task_uuid}/deliveries", answer(200, {"deliveries": tries}))
    _, line = uvr("deliveries", task_uuid).stdout.splitlines()
    assert "0.25 s" in line
    assert "callback_failed: status 500" in line
    assert objects(uvr("deliveries", "--json", task_uuid)) == tries


def test_the_tries_of_each_redelivery_are_told_apart(fake_api, uvr):
    task_uuid = fake_api.add(task("succeeded"))
    first = {"run": 1, "try_number": 1, "started_at": 1e9, "took_s": 0.25, "status": 204}
    again = first | {"started_at": 1e9 + 901, "redelivery_requested_at": 1e9 + 900}
    later = first | {"started_at": 1e9 + 1801, "redelivery_requested_at": 1e9 + 1800}
    fake_api.on(f"/tasks/{task_uuid}/deliveries", answer(200, {"deliveries": [first, again, later]}))
    header, *lines = uvr("deliveries", task_uuid).stdout.splitlines()
    assert header.split() == ["run", "redelivery", "try", "at", "took", "answer", "next", "try"]
    assert [line.split()[1:3] for line in lines] == [
        ["1", local_time(1e9).split()[0]],
        local_time(1e9 + 900).split(),
        local_time(1e9 + 1800).split(),
    ]


@pytest.mark.parametrize(
    ("state", "fields", "message"),
    [
        ("separating", {"hook_host": "example.org"}, "no callback has been sent yet"),
        ("queued", {"hook_host": "example.org"}, "no callback has been sent yet"),
        ("succeeded", {"hook_host": "example.org"}, "no callback was sent"),
        ("separating", {}, "no callback is sent: the task was submitted without a hook_url"),
        ("succeeded", {}, "no callback is sent: the task was submitted without a hook_url"),
    ],
)
def test_why_there_are_no_deliveries_is_said(fake_api, uvr, state, fields, message):
    task_uuid = fake_api.add(task(state, audio="https://example.com/song.mp3", **fields))
    fake_api.on(f"/tasks/{task_uuid}/deliveries", answer(200, {"deliveries": []}))
    result = uvr("deliveries", task_uuid)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{message}\n")
    assert uvr("deliveries", "--json", task_uuid).stderr == ""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (problem(401, "Wrong user name or password"), Exit.UNAUTHORIZED),
        (problem(404, "There is no such task"), Exit.NOT_FOUND),
        (problem(429, "Too many failed sign-ins", [("Retry-After", "9")]), Exit.REFUSED),
        (problem(503, "not up to date yet", [("Retry-After", "2")]), Exit.REFUSED),
        (problem(500, "The request could not be handled"), Exit.SERVER_ERROR),
        (serve(b"<html>", 200, "text/html"), Exit.SERVER_ERROR),
        (reset(), Exit.UNREACHABLE),
    ],
)
def test_each_kind_of_error_has_its_code_and_is_said_beside_the_results(fake_api, uvr, script, code):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}", script)
    result = uvr("status", "--json", task_uuid)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit",),
        ("submit", "--idempotency-key", "k", SONG, SONG),
        ("submit", "--cancel-after", "0", SONG),
        ("submit", "--cancel-after", "nan", SONG),
        ("status", "no-id"),
        ("list", "--state", "lost"),
        ("list", "--since", "soon"),
        ("list", "--limit", "0"),
        ("unknown",),
    ],
)
def test_wrong_usage_asks_the_api_nothing(fake_api, uvr, arguments):
    result = uvr(*arguments)
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert fake_api.requests() == []


def test_settings_that_are_missing_or_wrong_are_said(uvr):
    wrong = ("127.0.0.1", "http://192.168.1.300:9", "http://a..b", f"http://{'a' * 64}/", "http://ü..example")
    for others in ({"UVR_PASSWORD": ""}, *({"UVR_URL": url} for url in wrong)):
        result = uvr("list", **others)
        assert (result.exit_code, result.stdout) == (Exit.BAD_SETTINGS, "")
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


def test_an_address_with_digits_or_foreign_letters_may_be_right():
    for url in (
        "http://192.168.1.3:9",
        "http://[::1]:8000",
        "https://[fe80::1%25eth0]",
        "http://bücher.example",
    ):
        assert checked_url(url) == url


def test_what_the_api_says_cannot_write_over_a_terminal(fake_api, uvr):
    evil = "[red]\x1b[2J\x9b1m\r\u202egpj.exe:smile:[/red]"
    task_uuid = fake_api.add(task("failed", error_code="x", error_message=evil, user=evil))
    fake_api.on("/tasks", answer(200, {"tasks": [task("failed", task_uuid, error_message=evil, user=evil)]}))
    unknown = str(uuid4())
    fake_api.on(f"/tasks/{unknown}", problem(404, evil))
    results = [uvr("status", task_uuid), uvr("list"), uvr("watch", task_uuid), uvr("status", unknown)]
    for result in results:
        text = result.stdout + result.stderr
        assert r"[red]\x1b[2J\x9b1m\r\u202egpj.exe:smile:[/red]" in text
        assert not set(text) & set("\x1b\x9b\r\u202e")
    assert set(uvr("status", "--json", task_uuid).stdout) <= {chr(c) for c in range(32, 127)} | {"\n"}


def test_the_version_is_told(uvr):
    assert uvr("--version").stdout.startswith("uvr 1.")
