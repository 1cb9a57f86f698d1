"""Tests that `./start_local.sh uninstall` removes what the set-up made, and nothing else."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Makes a checkout as it is after a set-up, without the packages that take minutes to install."""
    root = tmp_path / "uvr api"
    (root / "local").mkdir(parents=True)
    shutil.copy(REPOSITORY / "start_local.sh", root)
    for script in (REPOSITORY / "local").glob("*.sh"):
        shutil.copy(script, root / "local")
    for name in (".venv/bin", ".local/cache/uv", ".local/data", "models", "logs", "local/__pycache__"):
        (root / name).mkdir(parents=True)
    (root / ".venv" / ".made-by-uvr-api").write_text(f"{root}\n")
    (root / "models" / "a.onnx").write_bytes(b"x" * 3_000_000)
    for kept in (".env", "users", "own.py"):
        (root / kept).write_text("mine\n")
    return root


def uninstall(
    root: Path, *arguments: str, stdin=subprocess.DEVNULL, **env: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(root / "start_local.sh"), "uninstall", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(root.parent), **env},
        cwd=root.parent,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


OWN = {".env", "users", "own.py", "start_local.sh", "local"}
MADE = {".venv", ".local", "models", "logs"}


def test_it_says_what_it_removes_with_sizes_and_removes_it(checkout):
    done = uninstall(checkout, "--yes")
    assert done.returncode == 0, done.stdout
    for name in MADE:
        assert f"B  {name} " in done.stdout
    assert "3.0 MB  models" in done.stdout
    assert "(uv's among them)" in done.stdout
    assert names(checkout) == OWN
    assert not (checkout / "local" / "__pycache__").exists()


def test_it_removes_nothing_where_nobody_can_be_asked(checkout):
    done = uninstall(checkout)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "error: nothing was removed: without a terminal to ask at, add --yes"
    )
    assert names(checkout) == OWN | MADE


@pytest.mark.parametrize(
    ("answer", "removed"), [("y", True), ("yes", True), ("n", False), ("", False), ("yo", False)]
)
def test_it_asks(checkout, answer, removed):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = uninstall(checkout, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == (0 if removed else 1), done.stdout
    assert names(checkout) == (OWN if removed else OWN | MADE)


@pytest.mark.parametrize("argument", ["-y", "--no", "now", ".local"])
def test_what_it_does_not_know_is_wrong_usage(checkout, argument):
    done = uninstall(checkout, argument)
    assert (done.returncode, done.stdout) == (2, "usage: ./start_local.sh uninstall [--yes]\n")
    assert names(checkout) == OWN | MADE


def test_an_environment_that_is_not_its_own_stays(checkout, tmp_path):
    elsewhere = tmp_path / "venv"
    elsewhere.mkdir()
    assert uninstall(checkout, "--yes", UVR_VENV=str(elsewhere)).returncode == 0
    assert elsewhere.exists()
    assert names(checkout) == OWN | {".venv"}  # UVR_VENV named another environment


def test_an_environment_that_it_has_made_elsewhere_goes(checkout, tmp_path):
    elsewhere = tmp_path / "venv"
    elsewhere.mkdir()
    (elsewhere / ".made-by-uvr-api").write_text(f"{checkout}\n")
    assert uninstall(checkout, "--yes", UVR_VENV=str(elsewhere)).returncode == 0
    assert not elsewhere.exists()


def test_the_environment_of_a_checkout_that_was_moved_goes(checkout, tmp_path):
    moved = tmp_path / "moved"
    checkout.rename(moved)
    done = uninstall(moved, "--yes")
    assert names(moved) == OWN
    assert "Only this checkout is left." in done.stdout


def test_an_environment_that_a_link_leads_to_goes(checkout, tmp_path):
    elsewhere = tmp_path / "bigger disk"
    (checkout / ".venv").rename(elsewhere)
    (checkout / ".venv").symlink_to(elsewhere)
    done = uninstall(checkout, "--yes")
    assert names(checkout) == OWN
    assert not elsewhere.exists(), done.stdout


def test_the_end_names_an_environment_that_stays(checkout):
    (checkout / ".venv" / ".made-by-uvr-api").unlink()
    done = uninstall(checkout, "--yes")
    assert names(checkout) == OWN | {".venv"}
    assert "Only this checkout is left" not in done.stdout
    assert f"{checkout}/.venv" in done.stdout.splitlines()[-2]


@pytest.mark.parametrize("name", [".local", "models", "logs"])
def test_the_end_names_what_a_link_leads_to(checkout, tmp_path, name):
    elsewhere = tmp_path / "bigger disk"
    (checkout / name).rename(elsewhere)
    (checkout / name).symlink_to(elsewhere)
    done = uninstall(checkout, "--yes")
    assert done.returncode == 0, done.stdout
    assert elsewhere.exists()
    assert "Only this checkout is left" not in done.stdout
    assert str(elsewhere) in done.stdout.splitlines()[-2]


def test_links_go_and_what_they_lead_to_stays(checkout, tmp_path):
    shared = tmp_path / "shared models"
    shared.mkdir()
    (shared / "mine.onnx").write_text("mine")
    shutil.rmtree(checkout / "models")
    (checkout / "models").symlink_to(shared)
    assert uninstall(checkout, "--yes").returncode == 0
    assert names(checkout) == OWN
    assert (shared / "mine.onnx").exists()


def test_processes_that_still_run_keep_everything(checkout):
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, "UVR_LOCAL_STACK": str(checkout)})
    try:
        done = uninstall(checkout, "--yes")
        assert done.returncode == 1
        assert f"processes of this stack still run (pid {left.pid})" in done.stdout
        assert names(checkout) == OWN | MADE
    finally:
        left.kill()
        left.wait()


@pytest.mark.parametrize(
    ("had", "given", "expected"),
    [
        (False, {}, "{root}/.local/cache/uv"),
        (True, {}, "unset"),
        (False, {"UV_CACHE_DIR": "/mine"}, "/mine"),
        (False, {"XDG_CACHE_HOME": "{home}/other"}, "{root}/.local/cache/uv"),
    ],
)
def test_uv_keeps_its_cache_with_us_unless_the_user_has_one(checkout, tmp_path, had, given, expected):
    if had:
        (tmp_path / ".cache" / "uv").mkdir(parents=True)
    places = {"root": str(checkout), "home": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euc", '. local/bootstrap.sh; own_caches; echo "${UV_CACHE_DIR:-unset}"'],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        | {name: value.format(**places) for name, value in given.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == expected.format(**places) + "\n"
