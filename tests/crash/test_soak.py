"""The soak in short: `python -m soak` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

from soak.plan import Options
from soak.run import soak
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow


def test_nothing_is_lost_nor_seen_twice_while_everything_is_killed(tmp_path: Path):
    report = soak(Options(jobs=40, seed=2996, rate=1.0, patience_s=60), tmp_path)
    assert not report.violations, report.text


def test_the_soak_finds_what_is_lost_what_is_doubled_and_a_callback_that_changes(tmp_path: Path):
    faults = ("--fault=forget", "--fault=publish-twice", "--fault=no-manifest")
    command = (sys.executable, "-m", "soak", "--calm", "--jobs=16", "--seed=7", "--processors=1")
    ended = subprocess.run(
        [*command, "--uploaders=1", f"--directory={tmp_path}", *faults],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    found = {line.partition(":")[0] for line in ended.stdout.splitlines()}
    assert found >= {"lost", "doubled", "callback"}, ended.stdout
