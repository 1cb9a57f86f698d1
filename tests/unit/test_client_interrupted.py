"""The end of `uvr` while its threads are at work."""

import array
import fcntl
import select
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO

from client.exits import Exit
from tests.support.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
_INTERRUPTED_BESIDE_ONE_THAT_PRINTS = """
import sys, threading
from client.exits import Exit
from client.session import end_at_once

def speak():
    while True:
        print("the api does not answer; trying again", file=sys.stderr)

threading.Thread(target=speak, daemon=True).start()
sys.stdin.readline()
print("told")
end_at_once(Exit.INTERRUPTED)
"""


def test_an_interruption_ends_the_process_in_the_middle_of_another_threads_line():
    command = [sys.executable, "-c", _INTERRUPTED_BESIDE_ONE_THAT_PRINTS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as ending:
        # Nobody reads standard error: once it is full, a line is being written for as long as we like.
        wait_for(lambda: _is_full(ending.stderr), 60, "a full pipe")
        out = ending.communicate(b"\n", timeout=60)[0]
    assert (ending.returncode, out) == (Exit.INTERRUPTED, b"told\n")


def _is_full(pipe: IO[bytes]) -> bool:
    unread = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread[0] > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) - select.PIPE_BUF
