"""Tests how `uvr` ends where its output, or its messages, cannot be written or are read by nobody."""

import io
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.client.fake_api import FakeApi, answer, problem, task
from tests.support.client.impatient import process
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for
from uvr_client.exits import Exit
from uvr_client.output import Output
from uvr_client.waiting import follow_all

pytestmark = pytest.mark.network

SONG = "https://example.com/song.mp3"


def test_what_ends_a_follower_reaches_the_one_who_waits():
    ids = [uuid4() for _ in range(65)]

    def follow(task_uuid):
        if task_uuid == ids[40]:
            raise ZeroDivisionError("a defect")
        return iter(())

    with pytest.raises(ZeroDivisionError, match="a defect"):
        list(follow_all(follow, ids))


@pytest.mark.parametrize("count", [1, 65])
def test_who_follows_ends_when_nobody_reads_the_messages(fake_api, uvr_environment, count):
    ids = [str(uuid4()) for _ in range(count)]
    for task_uuid in ids:
        fake_api.on(f"/tasks/{task_uuid}/events", problem(503, "Kafka is away"))
    watching = process(uvr_environment, "watch", *ids)
    assert watching.stderr is not None
    assert "trying again" in watching.stderr.readline()
    watching.stderr.close()
    wait_for(lambda: watching.poll() is not None, 60, "end")
    assert watching.returncode == Exit.BROKEN_PIPE
    watching.communicate()


def test_a_message_of_failure_that_nobody_reads_is_no_other_failure(fake_api, uvr_environment):
    task_uuid = str(uuid4())
    fake_api.on(f"/tasks/{task_uuid}/redeliver", problem(404, "There is no such task"))
    asking = process(uvr_environment, "redeliver", task_uuid)
    assert asking.stderr is not None
    asking.stderr.close()
    asking.communicate(timeout=60)
    assert asking.returncode == Exit.BROKEN_PIPE


def take_submissions(api: FakeApi) -> str:
    api.on("/batches", answer(200, {"batch_uuid": str(uuid4()), "tasks": [{"task_uuid": str(uuid4())}]}))
    return api.takes_submissions(task())


def on_a_full_disk(
    stream: str, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs `uvr` with its `output`, or its `errors`, on a disk that is full."""
    environment = environment | {"PYTHONPATH": str(REPOSITORY / "client")}
    with open("/dev/full", "wb", buffering=0) as full:
        return run_forked("uvr_client", *arguments, environment=environment, **{stream: full})


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_id_of_a_song_that_was_queued_is_not_lost_with_the_output(fake_api, uvr_environment, options):
    task_uuid = take_submissions(fake_api)
    submitting = on_a_full_disk("output", uvr_environment, "submit", SONG, f"{SONG}?2", *options)
    assert submitting.returncode == Exit.OUTPUT_FAILED
    assert submitting.stderr == (
        f"error: {SONG}: queued as {task_uuid}, but the output cannot be written: No space left on device\n"
        f"not submitted because of this error: {SONG}?2\n"
    )
    assert len(fake_api.requests("/generate")) == 1


def test_nor_is_it_with_the_reader(fake_api, uvr_environment):
    task_uuid = take_submissions(fake_api)
    submitting = process(uvr_environment, "submit", SONG, f"{SONG}?2")
    assert submitting.stdout is not None
    submitting.stdout.close()
    _, err = submitting.communicate(timeout=60)
    assert submitting.returncode == Exit.BROKEN_PIPE
    assert err == (
        f"queued as {task_uuid}, but nobody reads the output\nnot submitted because of this error: {SONG}?2\n"
    )


def test_nor_is_that_of_a_batch(fake_api, uvr_environment, tmp_path):
    take_submissions(fake_api)
    (tmp_path / "songs.jsonl").write_text(f'{{"audio": "{SONG}"}}\n')
    submitting = on_a_full_disk("output", uvr_environment, "batch", str(tmp_path / "songs.jsonl"))
    assert submitting.returncode == Exit.OUTPUT_FAILED
    assert submitting.stderr.startswith("error: queued as the batch ")
    assert submitting.stderr.count("\n") == 1


def test_an_output_that_the_shell_has_closed_is_no_error(fake_api, uvr_environment):
    task_uuid = fake_api.add(task("failed"))
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "uvr_client", "watch", task_uuid]
    ended = subprocess.run(command, cwd=REPOSITORY / "client", env=os.environ | uvr_environment, timeout=60)
    assert ended.returncode == Exit.FAILED


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp037", "utf-16", "utf-16-le", "utf-32"])
def test_a_path_that_is_no_text_is_printed_in_any_encoding(monkeypatch, encoding):
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding=encoding))
    output = Output(as_json=False)
    output.print(output.path(Path("caf\udce9.zip")))
    is_wide = encoding.startswith(("utf-16", "utf-32"))  # no single byte is valid there
    name = "caf\\udce9.zip".encode(encoding) if is_wide else "caf".encode(encoding) + b"\xe9"
    assert printed.getvalue().startswith(name)


@pytest.mark.parametrize("command", [("list",), ("watch",), ("cancel", "--json")])
@pytest.mark.parametrize("stream", ["output", "errors"])
def test_a_full_disk_has_a_code_of_its_own(fake_api, uvr_environment, command, stream):
    status = task("failed")
    task_uuid = fake_api.add(status)
    fake_api.on(f"/tasks/{task_uuid}/cancel", answer(202, status))
    fake_api.on("/tasks", answer(200, {"tasks": [status]}))
    others = () if command[0] == "list" else (task_uuid, str(uuid4()))  # the second is not there
    running = on_a_full_disk(stream, uvr_environment, *command, *others)
    if stream == "errors":
        assert running.returncode == (0 if command[0] == "list" else Exit.OUTPUT_FAILED)
    else:
        assert running.returncode == Exit.OUTPUT_FAILED
        *_, last = running.stderr.splitlines()
        assert last == "error: the output cannot be written: No space left on device"
        assert "Traceback" not in running.stderr
