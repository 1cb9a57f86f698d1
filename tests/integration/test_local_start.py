"""Tests start_local.sh in a copy of the repository, on free ports, with the tests' virtual environment."""

import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from local import leftovers
from tests.support.local.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]


@pytest.fixture
def checkout(tmp_path):
    made = Checkout(tmp_path / "uvr api")
    yield made
    leftovers.end(made.root, grace_s=0)


def test_a_bad_setting_is_named_with_given_servers_and_nothing_is_left(checkout, kafka, s3_store):
    given = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, **s3_store.environment()}
    (checkout.root / ".env").write_text("BASIC_AUTH_USERNAME=a:b\n")
    checkout.use_centre_model()
    result = checkout.run(**given)
    assert result.returncode == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("error: api has ended with exit code 64: cannot start: BASIC_AUTH_USERNAME"), (
        result.stdout
    )
    assert "kafka is ready" not in result.stdout
    assert leftovers.find(checkout.root) == []


def test_a_missing_bucket_is_one_line_before_anything_starts(checkout, kafka, s3_store):
    given = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, **s3_store.environment()}
    result = checkout.run(**{**given, "S3_BUCKET_NAME": "never-made"})
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert re.match(r"error: .*never-made", line), line
    refused = checkout.run(**{**given, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert (refused.returncode, len(refused.stdout.splitlines())) == (1, 1), refused.stdout
    assert leftovers.find(checkout.root) == []


def test_a_port_that_is_taken_is_named_before_anything_starts(checkout):
    with socket.create_server(("127.0.0.1", int(checkout.env["S3_PORT"]))):
        result = checkout.run()
    assert result.returncode == 1
    port = checkout.env["S3_PORT"]
    assert result.stdout == (
        f"error: port {port} is in use (S3_PORT): "
        "stop the program that uses it, or set S3_PORT to another port\n"
    )
    assert leftovers.find(checkout.root) == []


def test_a_wrong_python_is_one_clear_line(checkout, tmp_path):
    python = _script(tmp_path / "python", 'case "$*" in --version) echo Python 3.9.1 ;; *) exit 1 ;; esac')
    result = checkout.run(
        UVR_VENV=str(tmp_path / "venv"), UVR_PYTHON=str(python), PATH=_path_without_uv(tmp_path)
    )
    assert result.returncode == 1
    assert result.stdout == (
        "error: Python 3.11 or 3.12 is needed, found Python 3.9.1: "
        "install one, or set UVR_PYTHON to where it is\n"
    )


def test_a_missing_venv_module_is_one_clear_line(checkout, tmp_path):
    python = _script(
        tmp_path / "python", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"'
    )
    result = checkout.run(
        UVR_VENV=str(tmp_path / "venv"), UVR_PYTHON=str(python), PATH=_path_without_uv(tmp_path)
    )
    assert result.returncode == 1
    assert result.stdout == (
        f"error: {python} has no venv module: "
        "install it (Debian, Ubuntu: apt install python3-venv), or install uv\n"
    )


def test_a_full_disk_is_one_clear_line(checkout, tmp_path):
    _script(tmp_path / "bin" / "df", 'printf "header\\n/dev/x 9 9 3500000 97%% /\\n"')
    path = f"{tmp_path / 'bin'}:{checkout.env['PATH']}"
    result = checkout.run(UVR_VENV=str(tmp_path / "venv"), UVR_PYTHON=sys.executable, PATH=path)
    assert result.returncode == 1
    assert re.fullmatch(
        r"error: the disk is too full: \d+ GB are needed to install, 3 GB are free at .*/venv",
        result.stdout.splitlines()[-1],
    )
    assert not (tmp_path / "venv").exists()


def test_commands_before_the_set_up_and_unknown_ones_say_what_to_do(checkout, tmp_path):
    nothing = checkout.run("status", UVR_VENV=str(tmp_path / "none"))
    assert (nothing.returncode, nothing.stdout) == (
        1,
        "error: UVR API is not installed here yet: run ./start_local.sh\n",
    )
    unknown = checkout.run("frobnicate")
    assert unknown.returncode == 2
    assert unknown.stdout.startswith("usage:")


def _script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path


def _path_without_uv(tmp_path: Path) -> str:
    """Returns a PATH with the tools that the script needs, without a uv that could download a Python."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "readlink", "uname", "mkdir", "flock", "sha256sum"):
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    return str(tools)
