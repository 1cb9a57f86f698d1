"""Tests how `uvr` ends while its threads are at work."""

import array
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from typing import IO

import pytest

from tests.support.client.fake_api import task
from tests.support.client.impatient import process
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for
from uvr_client.exits import Exit

pytestmark = pytest.mark.network

_INTERRUPTED_BESIDE_ONE_THAT_PRINTS = """
import atexit, sys, threading
from uvr_client.exits import Exit
from uvr_client.session import end_at_once

def speak():
    print("more than a pipe holds" * 100_000, file=sys.stderr)

atexit.register(print, "the interpreter's own end")
threading.Thread(target=speak, daemon=True).start()
sys.stdin.readline()
print("result")
end_at_once(Exit.INTERRUPTED)
"""


def test_an_interruption_ends_the_process_without_the_interpreters_own_end():
    command = [sys.executable, "-c", _INTERRUPTED_BESIDE_ONE_THAT_PRINTS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY / "client", **pipes) as ending:
        # Nothing reads standard error: once its pipe is full, the thread blocks in a write until the end.
        wait_for(lambda: _is_full(ending.stderr), 60, "a full pipe")
        ending.stdin.write(b"\n")
        ending.stdin.flush()
        try:
            code = ending.wait(60)
        finally:
            ending.kill()
        assert (code, ending.stdout.read()) == (Exit.INTERRUPTED, b"result\n")


def _is_full(pipe: IO[bytes]) -> bool:
    unread = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread[0] == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def test_what_was_over_before_an_interruption_is_told_although_bars_were_shown(fake_api, uvr_environment):
    over, going_on = fake_api.add(task("failed")), fake_api.add(task("separating"))
    terminal, standard_error = pty.openpty()
    waiting = process(uvr_environment, "watch", over, going_on, stderr=standard_error)
    os.close(standard_error)
    shown = b""
    # Results are printed below the bars, so they are held back until the bars end.
    while not (b"failed" in shown and b"separating" in shown):
        shown += os.read(terminal, 1 << 16)
    waiting.send_signal(signal.SIGINT)
    out, _ = waiting.communicate(timeout=60)
    os.close(terminal)
    assert (waiting.returncode, out) == (Exit.INTERRUPTED, f"{over} failed\n")
