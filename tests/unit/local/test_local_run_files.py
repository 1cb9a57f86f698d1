"""Tests what a start and a stop do with the files of an earlier run: they take away their own alone."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import config, lifecycle, store
from local.errors import LocalError
from tests.support.local.checkout import PORTS
from tests.support.ports import take_port, take_ports


@pytest.fixture
def stack(tmp_path: Path) -> config.LocalConfig:
    ports = dict(zip(PORTS, map(str, take_ports(len(PORTS))), strict=True))
    return config.load(tmp_path, {"PATH": os.environ["PATH"], **ports})


@pytest.fixture
def left(stack: config.LocalConfig) -> Iterator[list[Path]]:
    """Makes the sockets that a killed store leaves: of S3's port, and of a port of its parts."""
    inner = take_port()
    (stack.store_dir).mkdir(parents=True)
    (stack.store_dir / "ports.json").write_text(json.dumps([inner]))
    paths = [
        Path(f"/tmp/seaweedfs-s3-{stack.ports['S3_PORT']}.sock"),
        Path(f"/tmp/seaweedfs-filer-{inner}.sock"),
    ]
    for path in paths:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    yield paths
    for path in paths:
        path.unlink(missing_ok=True)


def _port_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


@pytest.mark.parametrize(
    ("setting", "told"), [("LOG_DIR", "LOG_DIR: "), ("UVR_CACHE_DIR", "Kafka cannot be prepared: ")]
)
def test_a_directory_that_cannot_be_made_is_named(stack, setting, told):
    (stack.root / "a file").write_text("")
    wrong = stack.root / "a file" / "below"
    given = {**stack.given, setting: str(wrong)}
    with pytest.raises(LocalError, match=rf"^{told}.*{wrong}"):
        lifecycle.up(config.LocalConfig(stack.root, given, stack.ports))


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[None]:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(str(path))
        running.listen()
        yield


@pytest.mark.parametrize("whose", ["its S3 port's", "a part's"])
def test_the_socket_of_another_stack_that_runs_stays(stack, left, whose):
    used, unused = left if whose == "its S3 port's" else reversed(left)
    with _listening(used), socket.create_server(("127.0.0.1", stack.ports["S3_PORT"])):
        with pytest.raises(LocalError, match=r"is in use \(S3_PORT\)"):
            lifecycle.up(stack)
        assert (used.exists(), unused.exists()) == (True, True)
        lifecycle.stop(stack)
        assert (used.exists(), unused.exists()) == (True, False)


def test_a_stop_removes_what_a_killed_stack_has_left(stack, left, capsys):
    pid_file = stack.run_dir / "supervisord.pid"
    stack.save()
    pid_file.write_text("1\n")
    others = config.load(stack.root, {"S3_PORT": str(take_port())})  # settings may have changed since
    lifecycle.stop(others)
    assert "is not running" in capsys.readouterr().out
    assert [path for path in (*left, pid_file) if path.exists()] == []


def test_a_start_with_other_settings_removes_what_a_killed_stack_has_left(stack, left):
    stack.save()
    (stack.root / "a file").write_text("")
    others = {"S3_PORT": str(take_port()), "UVR_CACHE_DIR": str(stack.root / "a file" / "below")}
    given = {**stack.given, **others}
    with pytest.raises(LocalError, match="Kafka cannot be prepared"):
        lifecycle.up(config.load(stack.root, given))
    assert [path for path in left if path.exists()] == []


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_files_that_a_power_failure_has_emptied_stop_no_stop_and_no_start(stack, text, capsys):
    stack.save()
    keys = store.load_keys(stack.store_dir / "keys.json")
    files = (stack.run_dir / "settings.json", stack.store_dir / "keys.json", stack.store_dir / "ports.json")
    for file in files:
        file.write_text(text)
    lifecycle.stop(stack)
    assert "is not running" in capsys.readouterr().out
    assert stack.environment()["AWS_SECRET_ACCESS_KEY"] != keys.secret_key
    assert len(store.make_spec(stack.store_dir, "bucket", 8333).inner_ports) > 0


def test_a_cache_whose_path_no_list_of_paths_can_hold_is_refused(stack):
    given = {**stack.given, "UVR_CACHE_DIR": str(stack.root / "a:b")}
    with pytest.raises(LocalError, match=r"UVR_CACHE_DIR: .* colon or a line break"):
        lifecycle.up(config.load(stack.root, given))
    assert not (stack.root / "a:b").exists()


def test_a_socket_of_another_user_is_named_and_does_not_stop_a_stop(stack, left, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(LocalError, match=rf"{left[0]} belongs to another user.* set S3_PORT to another port"):
        lifecycle.up(stack)
    lifecycle.stop(stack)
    assert left[0].exists()


def test_the_stores_parts_take_no_port_with_a_socket_of_another_user(stack, left, monkeypatch):
    (stack.store_dir / "ports.json").write_text(json.dumps(ports := [*take_ports(6), _port_of(left[1])]))
    assert store.make_spec(stack.store_dir, "bucket", 8333).inner_ports == tuple(ports)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not {*store.make_spec(stack.store_dir, "bucket", 8333).inner_ports} & {*ports}
