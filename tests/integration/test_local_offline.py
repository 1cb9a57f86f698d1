"""The commands of a stack work after an installation that failed, as long as what they need is there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

REQUIREMENTS = ("requirements.txt", "requirements-local.txt", "requirements-client.txt")
COMMANDS = {
    "stop": (0, "UVR API is not running."),
    "status": (1, "UVR API is not running."),
    "logs": (1, "there are no logs in"),
    "exec echo ran": (0, "ran"),
}


@pytest.fixture
def checkout(tmp_path) -> Path:
    return make_checkout(tmp_path)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory) -> Path:
    """Makes a checkout whose upgrade has failed, for commands that leave it as it is."""
    root = make_checkout(tmp_path_factory.mktemp("upgraded"))
    fail_to_upgrade(root)
    return root


def make_checkout(directory: Path) -> Path:
    """Makes a checkout in which this Python's packages are installed, and whose uv reaches nothing."""
    root = directory / "uvr api"
    for package in ("local", "common"):
        shutil.copytree(REPOSITORY / package, root / package)
    shutil.copy(REPOSITORY / "start_local.sh", root)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".local" / "run").mkdir(parents=True)
    (root / ".venv" / ".made-by-uvr-api").write_text(f"{root}\n")
    for name, body in (("python", f'exec {sys.executable} "$@"'), ("uv", "echo unreachable >&2; exit 2")):
        script = root / ".venv" / "bin" / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    for name in REQUIREMENTS:
        (root / name).write_text("a==1\n")
        sums = subprocess.run(["sha256sum", name], cwd=root, capture_output=True, text=True, check=True)
        (root / ".venv" / f".installed-{name}").write_text(sums.stdout)
    return root


@pytest.fixture
def running(checkout) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(["sleep", "600"], env=os.environ | {"UVR_LOCAL_STACK": str(checkout)})
    yield process
    process.kill()
    process.wait()


def call(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["./start_local.sh", *arguments],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root.parent), "CONSOLE": "no"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def change_requirements(root: Path) -> None:
    for name in REQUIREMENTS:
        (root / name).write_text("a==2\n")


def fail_to_upgrade(root: Path) -> None:
    change_requirements(root)
    done = call(root)
    assert done.returncode == 1
    assert "unreachable\nerror: cannot install" in done.stdout


def take_away(root: Path, package: str) -> None:
    """Lets a package be as an installation leaves it that was killed."""
    (root / f"{package}.py").write_text(f'raise ImportError("half of {package} is missing")\n')


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work_after_an_upgrade_that_changed_nothing(upgraded, command):
    done = call(upgraded, *command.split())
    code, told = COMMANDS[command]
    assert (done.returncode, told in done.stdout) == (code, True), done.stdout


def test_stop_ends_what_runs_after_such_an_upgrade(checkout, running):
    fail_to_upgrade(checkout)
    done = call(checkout, "stop")
    assert (done.returncode, done.stdout) == (0, "UVR API has stopped.\n")
    assert running.wait(20) != 0


def test_so_does_uninstall(checkout, running):
    fail_to_upgrade(checkout)
    done = call(checkout, "uninstall", "--yes")
    assert done.returncode == 0, done.stdout
    assert running.wait(20) != 0
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("package", ["psutil", "pydantic"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_lack_something_say_what_and_how_it_goes_on(checkout, command, package):
    change_requirements(checkout)
    take_away(checkout, package)
    done = call(checkout, *command.split())
    assert (done.returncode, done.stdout) == (
        1,
        f"error: the installation is not complete (ImportError: half of {package} is missing): "
        "run ./start_local.sh, which completes it and needs the network\n",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_environment_that_was_complete_is_told_as_damaged(checkout, command):
    take_away(checkout, "psutil")
    done = call(checkout, *command.split())
    assert (done.returncode, done.stdout) == (
        1,
        "error: .venv is damaged (ImportError: half of psutil is missing): "
        "move it away and run ./start_local.sh, which needs the network\n",
    )


def test_where_stop_cannot_run_the_processes_are_named_and_their_end_is_told(checkout, running):
    take_away(checkout, "psutil")
    ending = f"end what runs of it with: kill {running.pid}\n"
    assert call(checkout, "stop").stdout.endswith(f"which needs the network; {ending}")
    done = call(checkout, "uninstall", "--yes")
    assert done.returncode == 1
    assert done.stdout.endswith(
        f"nothing was removed: processes of this stack still run (pid {running.pid}), and what stops them "
        f"cannot run (ImportError: half of psutil is missing): {ending}"
    )
    assert (checkout / ".venv").exists()


def test_stop_needs_no_settings_library_whose_answers_are_kept(checkout):
    assert call(checkout, "status").stdout == "UVR API is not running.\n"
    take_away(checkout, "pydantic")
    assert call(checkout, "stop").stdout == "UVR API is not running.\n"


@pytest.mark.parametrize("command", [*COMMANDS, "uninstall --yes"])
def test_a_stack_that_runs_from_another_environment_is_told(checkout, running, command):
    shutil.rmtree(checkout / ".venv")
    done = call(checkout, *command.split())
    nothing = "nothing was removed: " if command.startswith("uninstall") else ""
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        1,
        f"error: {nothing}processes of this stack still run (pid {running.pid}), but not from .venv: "
        f"set UVR_VENV as it was set at the start, or end what runs of it with: kill {running.pid}",
    )
    assert (checkout / ".local").exists()
