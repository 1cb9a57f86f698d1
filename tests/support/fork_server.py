"""Starts services without the import of their modules, which is most of what a start costs: 1 to 1.5 s of CPU.

One process per process of tests, the template, imports a service's modules when the first test asks for that
service. It then forks for each start, and the child runs the service's `__main__` as `python -m` would. So a
test has a real process, with its own id, environment, log and threads, which it can kill, freeze and wait for.

What forking could change, and why it does not:

- Threads are not forked, and locks that they hold stay held. The template must have no thread but its main
  one, which it looks at before each fork.
- A variable that the interpreter or a library reads when it is loaded would come too late. A start in which
  one of these differs is refused, and such a process must start by itself. The failpoint, the only such
  variable of the product, is read again.
- Descriptors would be shared. The child closes the template's.
- The end of a process is told by its parent, the template, through a pipe for each process. When the template
  ends, the kernel kills its children, and whoever asks for one of them is told so.

Starts that are themselves tested (by command line, script, supervisor or Compose) do not come here.
"""

import atexit
import contextlib
import importlib
import importlib.util
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from tests.support.paths import REPOSITORY
from tests.support.processes import ManagedProcess, Started, die_with_parent

_MAX_REQUEST_BYTES = 1 << 17
# The interpreter, the C library and numeric libraries read these while they are loaded.
_READ_AT_LOADING = re.compile("(PYTHON|LD_|LC_|MALLOC_|GLIBC_|OMP_|MKL_|OPENBLAS_)|(LANG|LANGUAGE|TZ)$")
# numpy's library would start threads when it is loaded.
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Start:
    """One `python -m module arguments…` in `environment`."""

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


class ForkedProcess:
    """What tests use of `subprocess.Popen`, for a child of the template."""

    def __init__(self, module: str, pid: int, status: int):
        """`status` is a pipe from which the exit code can be read once the process has ended."""
        self.module, self.pid = module, pid
        self.returncode: int | None = None
        self._status = status

    def __del__(self) -> None:
        os.close(self._status)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Raises AssertionError, see `wait`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired, and AssertionError where the template has ended."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.module, timeout or 0)
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
    """The tests' end. Each start blocks until the process is forked."""

    def __init__(self, environment: Mapping[str, str]):
        """`environment` is that of a first service: what is read at loading comes from it."""
        self._at_loading = _at_loading(environment)
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**environment, **_NO_THREADS},
                cwd=REPOSITORY,
            )

    def start(self, start: Start, log: IO[bytes]) -> ForkedProcess:
        """Forks; standard output and error go to `log`. Raises AssertionError where that is impossible."""
        at_loading = _at_loading(start.environment)
        assert at_loading == self._at_loading, f"{at_loading} come too late for a fork: start it by itself"
        status, told = os.pipe()
        try:
            answer = self._ask(start, log.fileno(), told)
            assert "pid" in answer, answer["error"]
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(told)
        return ForkedProcess(start.module, answer["pid"], status)

    def close(self) -> None:
        """Ends the template, and with it all that it has started."""
        self._requests.close()
        self.process.wait()

    def _ask(self, start: Start, *descriptors: int) -> dict[str, Any]:
        with self._lock:
            try:
                socket.send_fds(self._requests, [json.dumps(asdict(start)).encode()], descriptors)
                answer = self._requests.recv(_MAX_REQUEST_BYTES)
            except OSError as error:
                raise AssertionError(f"the fork server has ended: {error}") from None
        assert answer, f"the fork server has ended: {self.process.poll()}"
        return json.loads(answer)


class ForkedService(ManagedProcess):
    """A `python -m MODULE ARGUMENTS…` of the repository that this process's one fork server starts."""

    def _start(self, log: IO[bytes]) -> Started:
        python, option, module, *arguments = self.argv
        if (python, option) != (sys.executable, "-m"):  # a test has put something before it
            return super()._start(log)
        assert self.env is not None
        return _shared(self.env).start(Start(module, tuple(arguments), self.env), log)


_servers: list[ForkServer] = []


def _shared(environment: Mapping[str, str]) -> ForkServer:
    """The fork server of this process, which ends with it."""
    if not _servers:
        _servers.append(ForkServer(environment))
        atexit.register(_servers[0].close)
    return _servers[0]


def _at_loading(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_LOADING.match(name)}


class _Template:
    """The template's end."""

    def __init__(self, requests: socket.socket):
        self._requests = requests
        self._before = dict(os.environ)
        self._running: dict[int, tuple[int, int]] = {}  # of each child's own descriptor: its id and pipe

    def serve(self) -> Start:
        """Serves until the tests end. Returns in each child alone, with what is to be run there."""
        while True:
            readable, _, _ = select.select([self._requests, *self._running], [], [])
            for descriptor in readable:
                if descriptor is not self._requests:
                    self._tell_end(descriptor)
                elif start := self._take_request():
                    return start

    def _tell_end(self, descriptor: int) -> None:
        pid, told = self._running.pop(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):  # nobody is interested
            os.write(told, str(code).encode())
        os.close(told)
        os.close(descriptor)

    def _take_request(self) -> Start | None:
        """Returns what is to be run in a child, and None in the template."""
        request, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_REQUEST_BYTES, 2)
        if not request:
            sys.exit()
        start = Start(**json.loads(request))
        log, told = descriptors
        try:
            _load(start.module)
            threads = os.listdir("/proc/self/task")
            assert len(threads) == 1, f"the import of {start.module} has started threads: {threads}"
            pid = os.fork()
        except Exception:  # noqa: BLE001 - the loop's edge: the test that asked raises it
            os.close(told)
            os.close(log)
            self._requests.send(json.dumps({"error": traceback.format_exc()}).encode())
            return None
        if not pid:
            self._become(start, log, told)
            return start
        self._running[os.pidfd_open(pid)] = (pid, told)
        os.close(log)
        self._requests.send(json.dumps({"pid": pid}).encode())
        return None

    def _become(self, start: Start, log: int, told: int) -> None:
        """Makes a child what `python -m` would have found."""
        die_with_parent()
        os.dup2(log, 1)
        os.dup2(log, 2)
        self._requests.close()
        for descriptor in [log, told, *self._running, *(told for _, told in self._running.values())]:
            os.close(descriptor)
        set_by_imports = {name: value for name, value in os.environ.items() if name not in self._before}
        os.environ.clear()
        os.environ.update({**start.environment, **set_by_imports})
        tempfile.tempdir = None
        sys.argv[1:] = start.arguments


def _main_of(module: str) -> str:
    """The name of what `python -m module` runs."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"no module {module}"
    return module if spec.submodule_search_locations is None else f"{module}.__main__"


def _load(module: str) -> None:
    """Imports `module` and whatever it needs, once."""
    importlib.import_module(_main_of(module))


def _run(start: Start) -> None:
    from common import failpoint

    failpoint.arm(os.environ.get(failpoint.VARIABLE, ""))
    main = _main_of(start.module)
    del sys.modules[main]  # it runs anew, as `__main__`
    runpy.run_module(main, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run(_Template(socket.socket(fileno=int(sys.argv[1]))).serve())
