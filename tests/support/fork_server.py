"""Starts services without the imports of their modules, which are most of what a start costs: 0.8 s of CPU.

A process of tests has a template: a process that imports a service's modules when the first test asks for
that service (`tests.support.fork_template`). It forks for each start, and the child runs the service as
`python -m` would. So a test has a real process, with its own id, environment, log and threads, which it can
kill, freeze and wait for.

What forking could change, and why it does not:

- Threads are not forked, and locks that they hold stay held. The template must have no thread but its main
  one, which it looks at before each fork.
- A variable that the interpreter or a library reads when it is loaded would come too late. Where one of these
  differs there is another template. The failpoint, the product's only such variable, is read again.
- Descriptors would be shared. The child closes the template's.

What differs: the parent is the template, `ps` shows the template's command line, and numpy's library has one
thread, where it would have one for each core. The template tells a process's end through a pipe. When the
template ends, the kernel kills its children, and whoever asks for one of them is told so.

Starts that are themselves tested (by command line, script, supervisor or Compose) do not come here.
"""

import atexit
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.support.paths import REPOSITORY

MAX_MESSAGE_BYTES = 1 << 17
# The interpreter, the C library and numeric libraries read these while they are loaded.
_READ_AT_LOADING = re.compile("(PYTHON|LD_|LC_|MALLOC_|GLIBC_|OMP_|MKL_|OPENBLAS_)|(LANG|LANGUAGE|TZ)$")
# numpy's library would start threads when it is loaded.
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Start:
    """One `python -m module arguments…` in `environment`.

    The template first imports `module`, then `preloaded`: what `module` imports in a function. With a channel
    it is a child as `processor.child_process` spawns them. `children` has, by module, the addresses of the
    servers that fork such children for it. `directory` is the one that it runs in.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    preloaded: Sequence[str] = ()
    children: Mapping[str, str] = field(default_factory=dict)
    directory: str = str(REPOSITORY)


class ForkedProcess:
    """What is used of `subprocess.Popen`, for a child of the template. Threads may share it."""

    def __init__(self, module: str, pid: int, status: int):
        """`status` is a pipe from which the exit code can be read once the process has ended."""
        self.module, self.pid = module, pid
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def __del__(self) -> None:
        os.close(self._status)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Raises AssertionError, see `wait`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired, and AssertionError where the template has ended."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.module, timeout or 0)
        with self._lock:
            if self.returncode is None:
                code = os.read(self._status, 16)
                assert code, f"{self.module} was killed because the fork server has ended"
                self.returncode = int(code)
            return self.returncode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # its end is not told yet
                os.kill(self.pid, number)


class ForkServer:
    """The tests' end of one template, which ends with the process that has made it."""

    def __init__(self, environment: Mapping[str, str]):
        """`environment` is that of a first process: what is read at loading comes from it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("")  # the kernel chooses a name
            listener.listen(64)
            self.address = listener.getsockname().decode()
            lives, self._lives = os.pipe()
            descriptors = [listener.fileno(), lives]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_template", *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**environment, **_NO_THREADS},
                cwd=REPOSITORY,
            )
            os.close(lives)
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the template, and with it all that it has started."""
        atexit.unregister(self.close)
        os.close(self._lives)
        self.process.wait()


def fork(
    address: str,
    start: Start,
    output: int,
    channel: int | None = None,
    *,
    errors: int | None = None,
    given: int | None = None,
) -> ForkedProcess:
    """Lets the template at `address` start a process that writes to the descriptor `output`.

    Its errors go to the descriptor `errors`, otherwise to `output` too. It reads `given`, otherwise nothing.
    Raises AssertionError, with the reason, where that is impossible.
    """
    status, told = os.pipe()
    try:
        with open(os.devnull) as nothing:
            streams = [
                nothing.fileno() if given is None else given,
                output,
                output if errors is None else errors,
            ]
            answer = _ask(address, start, [told, *streams, *([] if channel is None else [channel])])
        assert "pid" in answer, answer["error"]
    except BaseException:
        os.close(status)
        raise
    finally:
        os.close(told)
    return ForkedProcess(start.module, answer["pid"], status)


def _ask(address: str, start: Start, descriptors: Sequence[int]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [json.dumps(asdict(start)).encode()], descriptors)
            answer = connection.recv(MAX_MESSAGE_BYTES)
        except OSError as error:
            raise AssertionError(f"the fork server has ended: {error}") from None
    assert answer, "the fork server has ended"
    return json.loads(answer)


_servers: dict[frozenset[tuple[str, str]], ForkServer] = {}


def server_for(environment: Mapping[str, str]) -> ForkServer:
    """This process's server for all environments that do not differ in what is read at loading."""
    at_loading = frozenset(_at_loading(environment).items())
    if at_loading not in _servers:
        _servers[at_loading] = ForkServer(environment)
    return _servers[at_loading]


def _at_loading(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_LOADING.match(name)}
