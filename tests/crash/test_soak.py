"""The soak in short: `python -m soak` is the long one. Of its faults, each must be found."""

import functools
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.tasks.messages import Task
from soak import __main__ as command
from soak.faults import NAMES
from soak.plan import Options
from soak.run import soak
from tests.support.crash import CrashSystem

pytestmark = pytest.mark.slow

# The line of the report by which each fault is known.
FOUND = {
    "forget": ("lost", "0 results"),
    "publish-twice": ("doubled", "1 tasks and 2 results"),
    "no-manifest": ("callback", "different bodies"),
    "calls-twice": ("doubled", "callbacks"),
    "untidy": ("left in the stage", ""),
}


def test_nothing_is_lost_nor_seen_twice_while_everything_is_killed(tmp_path: Path):
    report = soak(Options(jobs=40, seed=2996, rate=1.0, patience_s=60), tmp_path, forked=True)
    assert not report.violations, report.text


@pytest.fixture
def levels() -> Iterator[None]:
    """Keeps what the command does to the loggers from later tests."""
    loggers = [logging.getLogger(name) for name in ("soak", "kafka")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("levels")
def test_the_soak_finds_each_fault_that_needs_no_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    faults = [f"--fault={name}" for name in NAMES if name != "publish-first"]
    few = ("--calm", "--jobs=16", "--seed=7", "--processors=1", "--uploaders=1")
    monkeypatch.setattr(sys, "argv", ["soak", *few, f"--directory={tmp_path}", *faults])
    monkeypatch.setattr(command, "soak", functools.partial(soak, forked=True))
    assert command.main() == 1
    printed = capsys.readouterr().out
    for start, end in FOUND.values():
        assert any(re.match(f"{start}.*{end}", line) for line in printed.splitlines()), printed
    assert FOUND.keys() == set(NAMES) - {"publish-first"}


def test_a_result_that_is_published_first_is_doubled_by_a_kill(system: CrashSystem, song: bytes):
    trio = system.trio
    settings = {**trio.settings, "FAULT_WINDOW_S": "60"}
    processor = trio.stack.start("soak.faults", settings, "publish-first")
    task_uuid = uuid4()
    task = Task(task_uuid=task_uuid, audio=trio.song(song), submitted_at=0.0, user="anna")
    trio.publish("KAFKA_TASK_TOPIC", task.to_bytes())
    system.wait_for_records("KAFKA_RESULT_TOPIC", str(task_uuid))
    processor.kill()
    processor.start()
    system.wait_for_records("KAFKA_RESULT_TOPIC", str(task_uuid), 2)
