"""Tests local/bootstrap.sh: where it refuses to work, and how it calls uv."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.own_mounts import OWN_MOUNTS
from tests.support.paths import REPOSITORY
from tests.support.shell_words import quoted

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


@pytest.fixture
def checkout(tmp_path) -> Path:
    root = tmp_path / "uvr api"
    (root / "local").mkdir(parents=True)
    for script in (REPOSITORY / "local").glob("*.sh"):
        shutil.copy(script, root / "local")
    shutil.copy(REPOSITORY / "start_local.sh", root)
    (root / "requirements-a.txt").write_text("a==1\n")
    return root


def _bash(root: Path, commands: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". local/bootstrap.sh; {commands}"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "HOME": str(root.parent), **env},
        capture_output=True,
        text=True,
    )


def _script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path


MAKE = "NEEDED_GB=0; mkdir -p .local; venv_works || make_venv"


def _killed_while_it_is_made(root: Path, tmp_path: Path) -> None:
    half = f"mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python; kill -KILL $PPID; exit"
    python = _script(
        tmp_path / "python", f'[[ $* != "-m venv "* ]] || {{ {half}; }}; exec {sys.executable} "$@"'
    )
    assert _bash(root, MAKE, UVR_PYTHON=str(python)).returncode == -signal.SIGKILL
    assert (root / ".venv" / "bin" / "python").exists()


@pytest.fixture
def python_without_pip(tmp_path) -> str:
    """Makes a Python whose environments lack pip, which takes most of the time of making one."""
    without = '[[ $* != "-m venv "* ]] || set -- -m venv --without-pip "${@:3}"'
    return str(_script(tmp_path / "python without pip", f'{without}; exec {sys.executable} "$@"'))


@pytest.mark.slow
def test_an_environment_whose_making_was_killed_is_made_anew(checkout, tmp_path):
    _killed_while_it_is_made(checkout, tmp_path)
    _made_anew(checkout, sys.executable)
    assert _bash(checkout, 'has_pip "$VENV/bin/python"').returncode == 0


def test_so_is_one_without_pip(checkout, tmp_path, python_without_pip):
    _killed_while_it_is_made(checkout, tmp_path)
    _made_anew(checkout, python_without_pip)


def _made_anew(checkout: Path, python: str) -> None:
    again = _bash(checkout, MAKE, UVR_PYTHON=python)
    assert again.returncode == 0, again.stderr
    made = _last_written(checkout / ".venv" / "pyvenv.cfg")
    assert _bash(checkout, MAKE, UVR_PYTHON="/bin/false").returncode == 0
    assert _last_written(checkout / ".venv" / "pyvenv.cfg") == made


def _last_written(file: Path) -> tuple[int, int]:
    """Which file it is, and when it was written. When it was read may change."""
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def test_an_environment_whose_making_was_killed_is_uninstalled(checkout, tmp_path):
    _killed_while_it_is_made(checkout, tmp_path)
    done = subprocess.run(
        [str(checkout / "start_local.sh"), "uninstall", "--yes"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (checkout / ".venv").exists()


def test_an_environment_of_somebody_else_is_left_alone(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "mine").write_text("")
    done = _bash(checkout, MAKE, UVR_PYTHON=sys.executable)
    assert done.returncode == 1
    assert done.stderr.startswith("error: .venv exists but is no virtual environment")
    assert (checkout / ".venv" / "mine").exists()


def _environment_of_another_python(root: Path, *more: str) -> Path:
    venv = root / ".venv"
    _script(venv / "bin" / "python", "exit 1")
    for name in ("pyvenv.cfg", "mine", *more):
        (venv / name).write_text("")
    return venv


def test_an_environment_that_somebody_else_made_with_an_unsuitable_python_is_left_alone(checkout):
    venv = _environment_of_another_python(checkout)
    done = _bash(checkout, MAKE, UVR_PYTHON=sys.executable)
    assert done.returncode == 1
    assert done.stderr == (
        "error: .venv has an unsuitable Python and was not made by this set-up: "
        "move it away, or set UVR_VENV\n"
    )
    assert {path.name for path in venv.iterdir()} == {"bin", "mine", "pyvenv.cfg"}


@pytest.mark.parametrize("ours", [".made-by-uvr-api", ".installed-requirements.txt"])
def test_an_environment_of_ours_with_an_unsuitable_python_is_made_anew(checkout, ours, python_without_pip):
    venv = _environment_of_another_python(checkout, ours)
    done = _bash(checkout, f"{MAKE}; venv_works", UVR_PYTHON=python_without_pip)
    assert done.returncode == 0, done.stderr
    assert not (venv / "mine").exists()


def test_a_link_to_nowhere_in_place_of_the_environment_is_named(checkout):
    (checkout / ".venv").symlink_to("gone")
    done = _bash(checkout, MAKE, UVR_PYTHON=sys.executable)
    assert done.returncode == 1
    assert done.stderr.startswith("error: .venv is a link to gone, which does not exist")


@pytest.mark.parametrize(
    "names", [["a cache"], ["a cache", "another"], ["a 2"], ["a\t1"], ["a\n2"], ["a\\0402"], ["a "]]
)
def test_what_is_mounted_into_an_environment_is_not_emptied(checkout, tmp_path, names):
    venv = _environment_of_another_python(checkout, ".made-by-uvr-api")
    (mounted := tmp_path / "mounted").mkdir()
    (mounted / "theirs").write_text("")
    places = [venv / name for name in names]
    for place in places:
        place.mkdir()
    commands = f'. local/bootstrap.sh; for place; do mount --bind "$0" "$place"; done; {MAKE}'
    done = subprocess.run(
        [*OWN_MOUNTS, "bash", "-euo", "pipefail", "-c", commands, mounted, *places],
        cwd=checkout,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "UVR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    told = " ".join(quoted(place) for place in reversed(places))
    assert f"while something is mounted in it: unmount {told}, or set UVR_VENV" in done.stderr
    assert (mounted / "theirs").exists()
    assert (venv / "mine").exists()


def test_packages_are_installed_anew_after_an_installation_that_was_killed(checkout, tmp_path):
    install = "is_installed requirements-a.txt || install requirements-a.txt"
    calls = tmp_path / "calls"
    _script(checkout / ".venv" / "bin" / "python", "exit 1")
    uv = checkout / ".venv" / "bin" / "uv"
    finishes, dies = f'echo "$@" >>"{calls}"', "kill -KILL $PPID"
    for body, code in ((finishes, 0), (dies, -signal.SIGKILL), (finishes, 0), (finishes, 0)):
        _script(uv, body)
        if body == dies:  # an upgrade, which is taken back afterwards
            (checkout / "requirements-a.txt").write_text("a==2\n")
        assert _bash(checkout, install).returncode == code
        (checkout / "requirements-a.txt").write_text("a==1\n")
    first, second = calls.read_text().splitlines()
    assert ("--reinstall" in first, "--reinstall" in second) == (False, True)


def test_each_requirement_file_has_its_own_mark_of_an_installation_that_was_killed(checkout, tmp_path):
    calls = tmp_path / "calls"
    uv = checkout / ".venv" / "bin" / "uv"
    _script(checkout / ".venv" / "bin" / "python", "exit 1")
    (checkout / "requirements-b.txt").write_text("b==1\n")
    for body, name in (
        ("kill -KILL $PPID", "a"),
        (f'echo "$@" >>"{calls}"', "b"),
        (f'echo "$@" >>"{calls}"', "a"),
    ):
        _script(uv, body)
        _bash(checkout, f"install requirements-{name}.txt")
    assert ["--reinstall" in call for call in calls.read_text().splitlines()] == [False, True]


def test_an_upgrade_that_was_killed_is_looked_at_without_a_word_of_sha256sum(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".installed-requirements-a.txt").write_text("")
    done = _bash(checkout, "is_installed requirements-a.txt")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("written_gb", "files", "needed_gb"),
    [
        ({}, (), 9),
        ({".venv": 3.2}, (), 6),
        ({".venv": 3.2, ".local/cache/uv": 2.9}, (), 3),
        ({".venv": 8.5}, (), 2),
        ({".venv": 0}, (".installed-requirements.txt",), 2),
    ],
)
def test_what_an_interrupted_set_up_has_written_is_not_asked_of_the_disk_again(
    checkout, tmp_path, written_gb, files, needed_gb
):
    for name, gb in written_gb.items():
        (checkout / name).mkdir(parents=True)
        (checkout / name / "kib").write_text(f"{gb * 1e6:.0f}\n")
    for name in files:
        (checkout / ".venv" / name).write_text("")
    # A disk with 1 GB left, on which the directories are as big as their file `kib` says.
    tools = 'df() { printf "Header\\nx x x 1000000 x x\\n"; }; '
    tools += (
        "du() { cat .venv/kib .local/cache/uv/kib 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }; "
    )
    done = _bash(checkout, f"{tools} own_caches; check_disk")
    assert done.returncode == 1
    assert f"{needed_gb} GB are needed to install, 1 GB are free" in done.stderr
