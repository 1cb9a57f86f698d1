"""Tests that a running stack is stopped and looked at whatever its settings have become meanwhile."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import __main__ as command
from local import config, leftovers, supervision, watch
from local.errors import LocalError
from tests.support.local.checkout import PORTS
from tests.support.paths import REPOSITORY
from tests.support.ports import take_ports

WRONG = {
    ".env": b"what is this\n",
    "latin-1": "# Gr\u00f6\u00dfe\n".encode("latin-1"),
    "port": b"API_PORT=http\n",
}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[config.LocalConfig]:
    """Runs the supervisor of a stack, without its programs."""
    ports = dict(zip(PORTS, map(str, take_ports(len(PORTS))), strict=True))
    monkeypatch.setattr(command, "_ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = config.load(tmp_path, {"PATH": os.environ["PATH"], "LOG_DIR": "our logs", **ports})
    loaded.save()
    supervision.start_daemon(loaded, loaded.environment() | {"PYTHONPATH": str(REPOSITORY)})
    supervision.Supervisor(loaded).wait_running(20)
    yield loaded
    leftovers.end(tmp_path, grace_s=0)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_stack_stops_whose_settings_cannot_be_read_any_more(stack, wrong, capsys):
    (stack.root / ".env").write_bytes(WRONG[wrong])
    assert command.run(["status"]) == 1
    assert "api        NOT READY" in capsys.readouterr().out
    assert command.run(["stop"]) == 0
    told = capsys.readouterr()
    assert "UVR API has stopped." in told.out
    assert told.err.startswith(("warning: .env", "warning: API_PORT"))
    assert leftovers.find(stack.root) == []
    with pytest.raises(LocalError):
        command.run(["up"])


@pytest.fixture
def broken_pipes() -> Iterator[None]:
    """`logs` has its process end at a broken pipe, as the command that it becomes does. Ours must not."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


def test_logs_are_those_of_the_last_start(stack, monkeypatch, broken_pipes):
    (stack.root / ".env").write_bytes(WRONG[".env"])
    (stack.log_dir / "api.out.log").write_text("a line\n")
    called = []
    monkeypatch.setattr(os, "execvp", lambda program, words: called.append(words))
    command.run(["logs", "api"])
    assert called[0][-1] == str(stack.root / "our logs" / "api.out.log")


def test_a_host_that_is_none_answers_nothing():
    assert watch.readiness("http://my host:8000/readyz") == (False, "no answer yet")


def test_where_nothing_was_ever_started_nothing_is_to_stop(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "_ROOT", tmp_path)
    (tmp_path / ".env").write_bytes(WRONG[".env"])
    assert command.run(["stop"]) == 0
    assert "UVR API is not running." in capsys.readouterr().out
