"""Tests local/bootstrap.sh: where it refuses to work, and how it calls uv."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX", "SSL_CERT_FILE")


def _uv_settings(tmp_path: Path, pip_says: str, **env: str) -> dict[str, str]:
    """Returns the settings with which uv is started when `pip config list` prints `pip_says`."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "pip_output").write_text(pip_says)
    python.write_text(f"#!/bin/sh\ncat '{tmp_path}/pip_output'\n")
    python.chmod(0o755)
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ". local/bootstrap.sh; with_pip_settings env"],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UVR_VENV": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.partition("=") for line in result.stdout.splitlines())
    return {name: value.strip() for name, _, value in pairs if name in NAMES}


def test_without_any_setting_uv_uses_its_own_default(tmp_path):
    assert _uv_settings(tmp_path, "") == {}


def test_what_pip_is_configured_with_reaches_uv(tmp_path):
    pip_output = (
        ":env:.disable-pip-version-check='1'\n"
        "global.cert='/etc/ssl/own.pem'\n"
        "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'\n"
        "global.index-url='https://mirror.example/simple'\n"
    )
    assert _uv_settings(tmp_path, pip_output) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
    }


def test_the_environment_wins_over_the_file_and_uv_over_pip(tmp_path):
    pip_output = "global.index-url='https://file.example/simple'\n"
    of_pip = _uv_settings(tmp_path, pip_output, PIP_INDEX_URL="https://pip.example/simple")
    assert of_pip["UV_DEFAULT_INDEX"] == "https://pip.example/simple"
    of_uv = _uv_settings(
        tmp_path,
        pip_output,
        PIP_INDEX_URL="https://pip.example/simple",
        UV_DEFAULT_INDEX="https://uv.example/simple",
    )
    assert of_uv["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


@pytest.mark.parametrize("name", ["uvr: api", "uvr\napi"])
def test_a_path_that_no_list_of_paths_can_hold_is_refused_before_anything_is_made(tmp_path, name):
    root = tmp_path / name
    shutil.copytree(
        REPOSITORY / "local", root / "local", ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    shutil.copy(REPOSITORY / "start_local.sh", root)
    done = subprocess.run([str(root / "start_local.sh")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: UVR API cannot run in a directory whose path has a colon")
    assert {path.name for path in root.iterdir()} == {"local", "start_local.sh"}
