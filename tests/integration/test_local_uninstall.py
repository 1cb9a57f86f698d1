"""Tests that `./start_local.sh uninstall` removes what the set-up made, and nothing else."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.own_mounts import OWN_MOUNTS
from tests.support.paths import REPOSITORY
from tests.support.shell_words import quoted


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


# Does what the last line says, with its words as they are.
UNMOUNT_AS_TOLD = """
line=$(tail -n 1 <<<"$told")
places=${line#*unmount } removal=${line#*Then: }
eval "umount ${places% first. Then*}"
eval "$removal"
"""


def uninstall_with_mounts(root: Path, mounts: dict[Path, Path], then="") -> subprocess.CompletedProcess:
    """Uninstalls where each directory has what is mounted into it, and then runs `then`."""
    words = [str(path) for pair in mounts.items() for path in pair]
    mount = 'while (($#)); do mount --bind "$2" "$1"; shift 2; done'
    uninstall = 'told=$(./start_local.sh uninstall --yes 2>&1) || failed=$?; printf "%s\\n" "$told"'
    command = f'cd "$1"; shift; {mount}; {uninstall}; {then}\nexit "${{failed:-0}}"'
    return subprocess.run(
        [*OWN_MOUNTS, "bash", "-euc", command, "bash", str(root), *words],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(root.parent)},
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


@pytest.fixture
def theirs(tmp_path) -> Path:
    """Makes a directory of the user's that is to be mounted into the checkout."""
    directory = tmp_path / "on another disk"
    (directory / "__pycache__").mkdir(parents=True)
    (directory / "mine").write_text("mine")
    return directory


# The kernel's list has white space and backslashes as octal numbers, after which digits may stand.
ODD_MOUNTS = ("a 2", "a\t1", "a\n2", "a\\2", "a\\0402", "a\\ 7", " a", "a ", "a\t", "a\n", "%s*")


@pytest.mark.parametrize(
    "name",
    ["models", ".local/data", ".venv/bin", "own files", ".venv/a 2", "a 2"]
    + [f"logs/{odd}" for odd in ODD_MOUNTS],
)
def test_what_is_mounted_into_the_checkout_stays_and_is_named(checkout, theirs, name):
    place = checkout / name
    place.mkdir(exist_ok=True)
    done = uninstall_with_mounts(checkout, {place: theirs})
    assert done.returncode == 0, done.stdout
    assert {path.name for path in theirs.iterdir()} == {"__pycache__", "mine"}
    assert names(checkout) == OWN | {Path(name).parts[0]}
    assert [path.name for path in place.parent.iterdir()] == [place.name] or place.parent == checkout
    assert f"  {place}, which is mounted\n" in done.stdout
    removal = f"rm -r {quoted(checkout)}"
    assert done.stdout.splitlines()[-1] == (
        f"To remove the checkout too, unmount {quoted(place)} first. Then: {removal}"
    )


def test_the_end_names_everything_that_must_be_unmounted_the_inner_before_the_outer(checkout, tmp_path):
    (tmp_path / "outer" / "inner one").mkdir(parents=True)
    (tmp_path / "inner").mkdir()
    (checkout / "odd\nname").mkdir()
    places = [checkout / "models", checkout / "models" / "inner one", checkout / "odd\nname"]
    mounted = [tmp_path / "outer", tmp_path / "inner", tmp_path / "inner"]
    done = uninstall_with_mounts(checkout, dict(zip(places, mounted, strict=True)), then=UNMOUNT_AS_TOLD)
    assert done.returncode == 0, done.stdout
    assert not checkout.exists()
    assert (tmp_path / "inner").exists()
    assert (tmp_path / "outer" / "inner one").exists()


def test_an_environment_that_is_mounted_is_emptied(checkout, tmp_path):
    (mounted := tmp_path / "volume").mkdir()
    (mounted / ".made-by-uvr-api").write_text(f"{checkout}\n")
    done = uninstall_with_mounts(checkout, {checkout / ".venv": mounted})
    assert done.returncode == 0, done.stdout
    assert list(mounted.iterdir()) == []
    assert f"{checkout}/.venv, which is mounted" in done.stdout


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(checkout, tmp_path):
    rm = tmp_path / "bin" / "rm"
    rm.parent.mkdir()
    rm.write_text(
        '#!/bin/sh\ncase "$*" in *models*) echo "rm: models: busy" >&2; exit 1; esac\nexec /bin/rm "$@"\n'
    )
    rm.chmod(0o755)
    done = uninstall(checkout, "--yes", PATH=f"{rm.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert names(checkout) == OWN | {"models"}
    assert f"  {checkout}/models, which could not be removed: see above\n" in done.stdout


def set_up(root: Path, *files: str) -> None:
    """Gives the checkout an environment that works, in which `files` lie."""
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / ".local" / "run").mkdir()
    for name in files:
        (root / ".venv" / name).write_text("")


@pytest.mark.parametrize(
    "files", [(), (".installed-requirements-local.txt",), (".installing-requirements.txt",)]
)
def test_a_set_up_whose_stack_cannot_be_stopped_is_removed_where_nothing_runs(checkout, files):
    set_up(checkout, *files)
    done = uninstall(checkout, "--yes")
    assert done.returncode == 0, done.stdout
    assert names(checkout) == OWN


def test_a_stop_that_is_interrupted_keeps_everything(checkout):
    set_up(checkout, ".installed-requirements-local.txt")
    (checkout / "local" / "__main__.py").write_text("")
    (checkout / "local" / "service_settings.py").write_text("names = dict\n")
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text(f'#!/bin/sh\n[ "$*" != "-m local stop" ] || exit 130\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = uninstall(checkout, "--yes")
    assert done.returncode == 1
    assert done.stdout.endswith("error: nothing was removed: the stop was interrupted\n")
    assert names(checkout) == OWN | MADE


@pytest.mark.parametrize("command", ["stop", "status", "logs", "exec"])
def test_commands_of_a_first_set_up_that_was_interrupted_say_how_it_goes_on(checkout, command):
    set_up(checkout, ".installing-requirements.txt")
    done = subprocess.run([checkout / "start_local.sh", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "error: UVR API is not installed here yet: run ./start_local.sh\n",
    )
