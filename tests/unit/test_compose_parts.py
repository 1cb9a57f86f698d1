"""What containers run around the services: the hold, the health check's probe, the store's keys."""

import configparser
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from common.service import EXIT_FENCED
from common.settings_loading import EXIT_BAD_SETTINGS
from deploy import hold
from tests.support.compose import ROOT
from tests.support.http_server import ScriptedServer, serve
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
    """`python -m deploy.hold` with a service that ends, or waits for SIGTERM, with an exit code."""

    def __init__(self, directory: Path, how: str, code: int):
        (directory / "some_service.py").write_text(SERVICE)
        self.process = ManagedProcess(
            [sys.executable, "-m", "deploy.hold", "some_service", how, str(code)],
            directory / "output.log",
            {"PYTHONPATH": f"{ROOT}:{directory}"},
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
    assert one.process.returncode is None
    assert one.process.stop() == code


@pytest.mark.parametrize("code", [0, 1, 3])
def test_any_other_end_is_the_containers_end(held, code: int):
    assert held("ends", code).process.wait(30) == code


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


def probe(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.probe", url], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_the_probe_is_content_with_200_alone():
    server = ScriptedServer()
    try:
        assert probe(server.on("/good", serve(b"ready"))).returncode == 0
        done = probe(server.on("/bad", serve(b"no model", 503)))
    finally:
        server.close()
    assert done.returncode == 1
    assert "503 no model" in done.stdout


def test_the_probe_of_nothing_fails_with_the_reason():
    server = ScriptedServer()
    server.close()
    done = probe(f"{server.origin}/readyz")
    assert done.returncode == 1
    assert "refused" in done.stdout


def make_keys(directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.store", "keys", str(directory)],
        cwd=ROOT,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


def keys_in(directory: Path) -> tuple[str, str]:
    """As boto3 sees them, which are the ones that the store is told of."""
    read = configparser.RawConfigParser()
    read.read(directory / "credentials")
    pair = read["default"]["aws_access_key_id"], read["default"]["aws_secret_access_key"]
    identities = json.loads((directory / "identities.json").read_text())["identities"]
    assert identities[0]["credentials"] == [{"accessKey": pair[0], "secretKey": pair[1]}]
    return pair


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
