"""Each failpoint is reached somewhere, acts only if it is named, and a wrong name stops the start."""

import functools
import os
import signal
import subprocess
import sys

import pytest

from common.failpoint import Failpoint
from common.settings.exit_codes import EXIT_BAD_SETTINGS
from tests.support.paths import REPOSITORY

SERVICES = ("api", "common", "processor", "uploader")
REACH = """
from common.failpoint import Failpoint
Failpoint.UPLOADED.reach()
print("uploaded", flush=True)
Failpoint.STAGED.reach()
Failpoint.STAGED.reach()
print("staged", flush=True)
"""


def start(value: str | None) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    if value is not None:
        environment["FAILPOINT"] = value
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", REACH], env=environment, stdout=pipe, stderr=pipe, text=True
    )


@functools.cache
def sources() -> list[str]:
    return [path.read_text() for service in SERVICES for path in (REPOSITORY / service).rglob("*.py")]


@pytest.mark.parametrize("point", Failpoint)
def test_each_point_is_reached_somewhere(point):
    assert any(f"Failpoint.{point.name}" in text for text in sources())


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_nothing_happens(value):
    process = start(value)
    assert process.communicate(timeout=30) == ("uploaded\nstaged\n", "")
    assert process.returncode == 0


def test_at_the_named_point_the_process_is_killed():
    process = start("staged")
    assert process.communicate(timeout=30)[0] == "uploaded\n"
    assert process.returncode == -signal.SIGKILL


def test_with_stop_the_process_is_frozen_there_once():
    process = start("staged:stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "uploaded\nstaged\n"
    assert process.returncode == 0


@pytest.mark.parametrize("value", ["stagd", "staged:freeze", "STAGED", ":stop", "staged:stop:stop"])
def test_a_name_that_is_none_stops_the_start_and_says_so(value):
    process = start(value)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == EXIT_BAD_SETTINGS
    assert output == ""
    assert errors.startswith(f"cannot start: FAILPOINT={value}: expected one of api-before-send, ")
