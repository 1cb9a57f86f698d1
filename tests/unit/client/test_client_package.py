"""Tests the client as `pip install ./client` installs it, without the rest of the repository."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import uvr_client
from tests.support.paths import REPOSITORY

DIRECTORY = REPOSITORY / "client"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Returns the directory that holds the wheel's content, like a site-packages of its own."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    done = subprocess.run(command, cwd=DIRECTORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target / "site")
    return target / "site"


def test_all_of_the_package_is_in_the_wheel_and_nothing_else(installed):
    found = {path.name for path in (installed / "uvr_client").rglob("*") if path.is_file()}
    assert found == {path.name for path in (DIRECTORY / "uvr_client").glob("*.py")}
    assert {path.name for path in installed.iterdir()} == {
        "uvr_client",
        f"uvr_client-{uvr_client.__version__}.dist-info",
    }


def test_the_command_is_uvr_and_starts_where_the_repository_is_not(installed, tmp_path):
    (info,) = installed.glob("*.dist-info")
    assert (info / "entry_points.txt").read_text().split() == [
        "[console_scripts]",
        "uvr",
        "=",
        "uvr_client.command:app",
    ]
    script = "import uvr_client.command, sys; sys.argv[0] = 'uvr'; uvr_client.command.app()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--version"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"uvr {uvr_client.__version__}\n", "")


def test_what_the_package_asks_for_is_what_is_pinned():
    asked = tomllib.loads((DIRECTORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[<>=]", requirement)[0] for requirement in asked]
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    assert names == groups["client"]
    pinned = (REPOSITORY / "requirements-client.txt").read_text()
    assert all(re.search(rf"^{name}==", pinned, re.MULTILINE) for name in names)
