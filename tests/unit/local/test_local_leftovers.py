"""Processes of the stack that are ended, and what counts as ended."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import leftovers
from tests.support.waiting import wait_for

# Starts the program that its arguments name, and never asks for its end.
_CARELESS_PARENT = """
import os, subprocess, sys, time
started = subprocess.Popen(sys.argv[2:], env=os.environ | {sys.argv[1]: os.getcwd()})
print(started.pid, flush=True)
time.sleep(3600)
"""
_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(3600)
"""


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[psutil.Process]:
    """A process of the stack in `tmp_path`, whose parent never asks for its end."""
    command = [sys.executable, "-c", _CARELESS_PARENT, leftovers.MARKER, "sleep", "3600"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: process.name() == "sleep", 20, "started program")
        yield process
        parent.kill()


def test_a_process_has_ended_also_where_nobody_has_asked_for_its_end(orphan, tmp_path):
    assert [process.pid for process in leftovers.find(tmp_path)] == [orphan.pid]
    ending = threading.Thread(target=leftovers.end, args=(tmp_path, 3600), daemon=True)
    ending.start()
    wait_for(lambda: not ending.is_alive(), 20, "end of the processes")
    assert orphan.status() == psutil.STATUS_ZOMBIE
    assert leftovers.find(tmp_path) == []


def test_a_process_that_does_not_end_is_killed(tmp_path):
    environment = os.environ | {leftovers.MARKER: str(tmp_path)}
    command = [sys.executable, "-c", _STUBBORN]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leftovers.end(tmp_path, grace_s=0) == 1
        assert process.wait(20) == -9
