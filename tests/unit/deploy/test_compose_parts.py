"""Tests deploy/: the hold, the health check's probe, and the store's keys and start."""

import configparser
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from common.settings.exit_codes import EXIT_BAD_SETTINGS, EXIT_FENCED
from deploy import hold
from deploy import probe as probe_module
from tests.support.forked_command import run_forked
from tests.support.http_server import Connection, Request, Script, ScriptedServer, in_turn, serve
from tests.support.paths import REPOSITORY
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

SERVICE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
print("begun", flush=True)
if sys.argv[1] == "ends":
    sys.exit(int(sys.argv[2]))
time.sleep(600)
"""


class Held:
    """Runs `python -m deploy.hold` with a service that ends at once, or on SIGTERM, with an exit code."""

    def __init__(self, directory: Path, how: str, code: int):
        (directory / "some_service.py").write_text(SERVICE)
        self.process = ManagedProcess(
            [sys.executable, "-m", "deploy.hold", "some_service", how, str(code)],
            directory / "output.log",
            {"PYTHONPATH": f"{REPOSITORY}:{directory}", "TMPDIR": str(directory)},
        )
        self.process.start()

    def wait_for_output(self, text: str) -> None:
        wait_for(lambda: text in self.process.output(), 30, repr(text))


@pytest.fixture
def held(tmp_path: Path) -> Iterator:
    started: list[Held] = []

    def start(how: str, code: int) -> Held:
        started.append(Held(tmp_path, how, code))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()


def test_what_is_held_are_the_ends_that_no_restart_mends():
    assert set(hold.HELD) == {EXIT_BAD_SETTINGS, EXIT_FENCED}


@pytest.mark.parametrize("code", hold.HELD)
def test_a_service_that_no_restart_mends_leaves_its_container_running(held, code: int):
    one = held("ends", code)
    one.wait_for_output(f"some_service has ended for good (exit code {code})")
    assert "docker compose up -d --force-recreate some_service" in one.process.output()
    assert one.process.returncode is None
    assert one.process.stop() == code


@pytest.mark.parametrize("code", [0, 1, 3])
def test_any_other_end_is_the_containers_end(held, code: int, tmp_path: Path):
    assert held("ends", code).process.wait(30) == code
    assert not (tmp_path / "uvr-held").exists()


def test_a_new_start_forgets_that_the_last_one_was_held_or_ready(held, tmp_path: Path):
    for name in ("uvr-held", "uvr-was-ready"):
        (tmp_path / name).write_text("before")
    held("waits", 0).wait_for_output("begun")
    assert not list(tmp_path.glob("uvr-*"))


@pytest.mark.parametrize("code", [0, *hold.HELD])
def test_a_signal_is_for_the_service_whose_end_is_then_the_containers(held, code: int):
    one = held("waits", code)
    one.wait_for_output("begun")
    assert one.process.stop() == code


def test_the_service_does_not_outlive_the_hold(held):
    one = held("waits", 0)
    one.wait_for_output("begun")
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
    child = Path(f"/proc/{children.read_text().strip()}")
    assert child.exists()
    one.process.kill()
    wait_for(
        lambda: not child.exists() or "Z" in child.joinpath("stat").read_text(), 30, "end of the service"
    )


def probe(url: str, directory: Path, start_s: float = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.probe", url, str(start_s)],
        cwd=REPOSITORY,
        env={"TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as made:
        yield made


def test_the_probe_is_content_with_200_alone(server: ScriptedServer, tmp_path: Path):
    assert probe(server.on("/good", serve(b"ready")), tmp_path).returncode == 0
    (tmp_path / "uvr-was-ready").unlink()
    done = probe(server.on("/bad", serve(b"no model", 503)), tmp_path)
    assert done.returncode == 1
    assert "503 no model" in done.stdout


def test_the_probe_waits_for_a_service_that_starts(server: ScriptedServer, tmp_path: Path):
    starting = serve(b"starting", 503)
    url = server.on("/readyz", in_turn(starting, serve(b"ready")))
    done = probe(url, tmp_path, start_s=50)
    assert (done.returncode, done.stdout) == (0, "200 ready\n")
    assert (tmp_path / "uvr-was-ready").exists()


def test_the_probe_asks_a_service_that_starts_again_and_again(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(probe_module, "_INTERVAL_S", 0.01)
    starting, was_ready = serve(b"starting", 503), tmp_path / "was-ready"
    url = server.on("/readyz", in_turn(starting, starting, starting, serve(b"ready")))
    assert probe_module.main(url, 50, str(was_ready), str(tmp_path / "held")) == 0
    assert (capsys.readouterr().out, was_ready.exists()) == ("200 ready\n", True)


def test_the_probe_does_not_wait_where_the_service_is_held(server: ScriptedServer, tmp_path: Path):
    (tmp_path / "uvr-held").write_text("held for good")
    done = probe(server.on("/readyz", serve(b"ready")), tmp_path, start_s=600)
    assert (done.returncode, done.stdout) == (1, "held for good\n")


def test_the_probe_that_waits_sees_that_the_service_becomes_held(server: ScriptedServer, tmp_path: Path):
    held = tmp_path / "uvr-held"

    def answer(request: Request, connection: Connection) -> None:
        held.write_text("held for good")
        serve(b"starting", 503)(request, connection)

    done = probe(server.on("/readyz", answer), tmp_path, start_s=600)
    assert (done.returncode, done.stdout) == (1, "held for good\n")


def test_a_service_that_was_ready_has_less_time_to_be_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(probe_module, "_PATIENCE_S", 0.0)
    was_ready, nobody = tmp_path / "was-ready", tmp_path / "held"
    was_ready.touch()
    server = ScriptedServer()
    server.close()
    assert probe_module.main(f"{server.origin}/readyz", 600, str(was_ready), str(nobody)) == 1


@pytest.fixture
def watch(tmp_path: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Returns a function that probes a service that was ready before, and that answers so in turn."""
    monkeypatch.setattr(probe_module, "_WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr(probe_module, "_INTERVAL_S", 0.01)
    (tmp_path / "was-ready").touch()

    def run(*answers: Script, watch_s: float, patience_s: float) -> int:
        monkeypatch.setattr(probe_module, "_WATCH_S", watch_s)
        monkeypatch.setattr(probe_module, "_PATIENCE_S", patience_s)
        url = server.on("/readyz", in_turn(*answers))
        return probe_module.main(url, 0, str(tmp_path / "was-ready"), str(tmp_path / "held"))

    return run


def test_a_service_that_was_ready_is_watched_for_a_while_by_one_process(
    watch: Callable[..., int], server: ScriptedServer
):
    assert watch(serve(b"ready"), watch_s=0.3, patience_s=0) == 0
    assert len(server.requests("/readyz")) > 2


def test_the_watch_ends_when_the_service_is_not_ready_any_more(
    watch: Callable[..., int], server: ScriptedServer, capsys: pytest.CaptureFixture[str]
):
    ready = serve(b"ready")
    assert watch(ready, ready, serve(b"no broker", 503), watch_s=600, patience_s=0.2) == 1
    assert capsys.readouterr().out == "503 no broker\n"


def test_the_watch_goes_on_where_the_service_is_ready_again_in_time(
    watch: Callable[..., int], server: ScriptedServer
):
    ready, away = serve(b"ready"), serve(b"no broker", 503)
    assert watch(ready, away, ready, watch_s=0.5, patience_s=30) == 0
    assert len(server.requests("/readyz")) > 3


def test_the_watch_sees_that_the_service_becomes_held(
    watch: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def answer(request: Request, connection: Connection) -> None:
        (tmp_path / "held").write_text("held for good")
        serve(b"ready")(request, connection)

    assert watch(answer, watch_s=600, patience_s=600) == 1
    assert capsys.readouterr().out == "held for good\n"


def test_the_probe_of_nothing_fails_with_the_reason(tmp_path: Path):
    server = ScriptedServer()
    server.close()
    done = probe(f"{server.origin}/readyz", tmp_path)
    assert done.returncode == 1
    assert "refused" in done.stdout


def make_keys(directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    others = [directory / name for name in ("api", "processor")]
    for other in others:
        other.mkdir(exist_ok=True)
    return run_forked("deploy.store", "keys", *map(str, (directory, *others)), environment=environ)


def keys_in(directory: Path) -> tuple[str, str]:
    """Returns the keys that boto3 finds, after checking that the store gets the same ones."""
    pair = pair_in(directory)
    identities = json.loads((directory / "identities.json").read_text())["identities"]
    assert identities[0]["credentials"] == [{"accessKey": pair[0], "secretKey": pair[1]}]
    return pair


def pair_in(directory: Path) -> tuple[str, str]:
    read = configparser.RawConfigParser()
    read.read(directory / "credentials")
    return read["default"]["aws_access_key_id"], read["default"]["aws_secret_access_key"]


def test_the_api_and_the_processor_have_keys_that_do_only_what_they_need(tmp_path: Path):
    given = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "S3_BUCKET_NAME": "b"}
    make_keys(tmp_path, given)
    first = [pair_in(tmp_path / name) for name in ("api", "processor")]
    make_keys(tmp_path, given)
    assert [pair_in(tmp_path / name) for name in ("api", "processor")] == first
    identities = json.loads((tmp_path / "identities.json").read_text())["identities"]
    found = {tuple(who["credentials"][0].values()): who["actions"] for who in identities}
    assert len(found) == 3
    assert [action for action in found[first[0]] if "Write" in action] == ["Write:b/uploads/*"]
    assert [action for action in found[first[1]] if "Write" in action] == ["Write:b/stage/*"]
    assert all(action.startswith(("Read:b/", "List:b/", "Write:b/")) for action in found[first[1]])


def test_the_store_gets_random_keys_that_stay(tmp_path: Path):
    assert make_keys(tmp_path, {}).returncode == 0
    first = keys_in(tmp_path)
    assert make_keys(tmp_path, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}).returncode == 0
    assert keys_in(tmp_path) == first
    other = tmp_path / "other"
    other.mkdir()
    make_keys(other, {})
    assert keys_in(other) != first


def test_given_keys_are_the_stores(tmp_path: Path):
    make_keys(tmp_path, {})
    given = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "100%secret"}
    assert make_keys(tmp_path, given).returncode == 0
    assert keys_in(tmp_path) == ("me", "100%secret")


def test_a_secret_key_in_a_file_is_the_stores_too(tmp_path: Path):
    (tmp_path / "secret").write_text("from-a-file\n")
    given = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret")}
    assert make_keys(tmp_path, given).returncode == 0
    assert keys_in(tmp_path) == ("me", "from-a-file")


def test_a_secret_key_in_no_file_is_refused(tmp_path: Path):
    given = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY_FILE": "/no/such/file"}
    done = make_keys(tmp_path, given)
    assert done.returncode == EXIT_BAD_SETTINGS
    assert "AWS_SECRET_ACCESS_KEY_FILE: /no/such/file cannot be read" in done.stderr


def test_one_key_without_the_other_is_refused(tmp_path: Path):
    done = make_keys(tmp_path, {"AWS_ACCESS_KEY_ID": "me"})
    assert done.returncode == EXIT_BAD_SETTINGS
    assert "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr


START_STORE = """
trap 'echo reloaded' HUP
echo "started with $*"
while true; do sleep 0.1; done
"""


@pytest.fixture
def store_start(tmp_path: Path) -> Iterator[ManagedProcess]:
    """Runs deploy/start_store.sh with a script in the place of SeaweedFS that prints each SIGHUP."""
    weed = tmp_path / "weed"
    weed.write_text(f"#!/bin/bash{START_STORE}")
    weed.chmod(0o755)
    text = (REPOSITORY / "deploy" / "start_store.sh").read_text()
    script = tmp_path / "start_store.sh"
    script.write_text(text.replace("/keys/", f"{tmp_path}/").replace("/usr/bin/weed", str(weed)))
    process = ManagedProcess(["/bin/sh", str(script), "-an", "-option"], tmp_path / "store.log")
    process.start()
    yield process
    process.kill()


@pytest.mark.slow
def test_the_store_starts_with_its_keys_and_reads_them_again_when_they_change(
    store_start: ManagedProcess, tmp_path: Path
):
    assert not store_start.output()
    make_keys(tmp_path, {})
    wait_for(lambda: store_start.output() == "started with -an -option\n", 30, "start with the keys")
    make_keys(tmp_path, {})  # the same keys again, as at each `docker compose up`
    make_keys(tmp_path, {"AWS_ACCESS_KEY_ID": "new", "AWS_SECRET_ACCESS_KEY": "other"})
    wait_for(lambda: "reloaded" in store_start.output(), 30, "new keys")
    assert store_start.output().count("reloaded") == 1
