"""The soak in short: `python -m soak` is the long one."""

import functools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soak import __main__ as command
from soak.plan import Options
from soak.run import soak

pytestmark = pytest.mark.slow


def test_nothing_is_lost_nor_seen_twice_while_everything_is_killed(tmp_path: Path):
    report = soak(Options(jobs=40, seed=2996, rate=1.0, patience_s=60), tmp_path, forked=True)
    assert not report.violations, report.text


@pytest.fixture
def levels() -> Iterator[None]:
    """Keeps what the command does to the loggers from later tests."""
    loggers = [logging.getLogger(name) for name in ("tests", "kafka")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("levels")
def test_the_soak_finds_what_is_lost_what_is_doubled_and_a_callback_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    faults = ("--fault=forget", "--fault=publish-twice", "--fault=no-manifest")
    few = ("--calm", "--jobs=16", "--seed=7", "--processors=1", "--uploaders=1")
    monkeypatch.setattr(sys, "argv", ["soak", *few, f"--directory={tmp_path}", *faults])
    monkeypatch.setattr(command, "soak", functools.partial(soak, forked=True))
    assert command.main() == 1
    printed = capsys.readouterr().out
    found = {line.partition(":")[0] for line in printed.splitlines()}
    assert found >= {"lost", "doubled", "callback"}, printed
