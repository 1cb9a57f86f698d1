"""Tests how much free disk the set-up asks for where links lead to other disks."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.own_mounts import OWN_MOUNTS
from tests.support.paths import REPOSITORY

# Each kilobyte counts as a megabyte, and every disk has 1 GB left.
_DISKS = """
du() { command du "$@" | awk '{ print $1 * 1000 }'; }
df() { printf 'Header\\nx x x 1000000 x x\\n'; }
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    root = tmp_path / "uvr api"
    (root / "local").mkdir(parents=True)
    shutil.copy(REPOSITORY / "local" / "bootstrap.sh", root / "local")
    return root


def _asked(root: Path, commands: str) -> str:
    """Returns what the set-up says about the disk after the commands, which may mount something."""
    script = f"{commands}; . local/bootstrap.sh; {_DISKS} own_caches; check_disk"
    done = subprocess.run(
        [*OWN_MOUNTS, "bash", "-euo", "pipefail", "-c", script],
        cwd=root,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(root.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize("name", [".venv", ".local/cache/uv"])
def test_what_was_written_behind_a_link_is_not_asked_of_the_disk_again(checkout, name):
    behind = checkout.parent / "behind"
    behind.mkdir()
    with (behind / "4 GB").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4_200_000)
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).symlink_to(behind)
    assert _asked(checkout, ":").startswith("error: the disk is too full: 5 GB are needed to install, 1 GB")


@pytest.mark.parametrize(("linked", "other"), [(".venv", ".local/cache/uv"), (".local/cache/uv", ".venv")])
def test_a_disk_behind_a_link_is_asked_for_its_own_part_alone(checkout, linked, other):
    (checkout / other).mkdir(parents=True)
    with (checkout / other / "4 GB").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4_200_000)
    (volume := checkout.parent / "volume").mkdir()
    (checkout / linked).parent.mkdir(parents=True, exist_ok=True)
    (checkout / linked).symlink_to(volume)
    told = _asked(checkout, f"mount -t tmpfs tmpfs {volume}")
    gb, place = (9, volume) if linked == ".venv" else (5, checkout / ".venv")
    assert told == (f"error: the disk is too full: {gb} GB are needed to install, 1 GB are free at {place}\n")
