"""Tests the client as `pip install ./client` installs it, without the rest of the repository."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import uvr_client
from tests.support.paths import REPOSITORY

DIRECTORY = REPOSITORY / "client"


@pytest.fixture(scope="module", params=["checkout", "sdist"])
def installed(request, tmp_path_factory) -> Path:
    """Where the wheel's content lies, as in a site-packages of its own."""
    target = tmp_path_factory.mktemp(request.param)
    source = DIRECTORY if request.param == "checkout" else unpacked(build("sdist", DIRECTORY, target), target)
    with zipfile.ZipFile(build("wheel", source, target)) as archive:
        archive.extractall(target / "site")
    return target / "site"


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob({"sdist": "*.tar.gz", "wheel": "*.whl"}[kind])
    return built


def unpacked(sdist: Path, target: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(target / "unpacked", filter="data")
    (directory,) = (target / "unpacked").iterdir()
    return directory


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


def test_the_package_carries_the_licence_of_the_repository(installed):
    (info,) = installed.glob("*.dist-info")
    licence = (REPOSITORY / "LICENSE").read_text()
    assert licence.startswith("MIT License\n")
    assert (info / "licenses" / "LICENSE").read_text() == licence
    assert "License-Expression: MIT\n" in (info / "METADATA").read_text()


def test_what_the_package_asks_for_is_what_is_pinned():
    asked = tomllib.loads((DIRECTORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[<>=]", requirement)[0] for requirement in asked]
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    assert names == groups["client"]
    pinned = (REPOSITORY / "requirements-client.txt").read_text()
    assert all(re.search(rf"^{name}==", pinned, re.MULTILINE) for name in names)
