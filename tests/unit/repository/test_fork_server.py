"""A forked process is what `python -m` starts, and nothing of it or of its template outlives its use."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.settings.exit_codes import EXIT_BAD_SETTINGS
from tests.support.fork_server import ForkedProcess, ForkServer, Start, fork, server_for
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY
from tests.support.processes import die_with_parent, is_running
from tests.support.waiting import wait_for

TELLER = """
import json, os, signal, sys, threading
told = lambda: json.dumps({
    "name": __name__, "arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ),
    "descriptors": [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{n}")],
    "threads": threading.active_count(), "path": sys.path, "group": os.getpgid(0),
    "signals": {n: str(signal.getsignal(n)) for n in signal.valid_signals()},
})
if __name__ == "__main__":
    print(told())
"""
ENDS = """
import os, signal, sys, time

def main(how):
    print("begun", flush=True)
    match how:
        case "code": sys.exit(3)
        case "error": raise LookupError("nothing there")
        case "signal": os.kill(os.getpid(), signal.SIGSEGV)
        case "sleep": time.sleep(600)

if __name__ == "__main__":
    main(sys.argv[1])
"""
PATIENCE_S = 30


class House:
    """A server whose processes run the modules that the test writes."""

    def __init__(self, directory: Path):
        self.log = directory / "log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{directory}",
            "SAID": "once",
        }
        self.server = ForkServer(self.environment)

    def fork(self, module: str, *arguments: str, **environment: str) -> ForkedProcess:
        with self.log.open("wb") as log:
            start = Start(module, arguments, self.environment | environment)
            return fork(self.server.address, start, log.fileno())


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("modules")
    (directory / "teller.py").write_text(TELLER)
    (directory / "ends.py").write_text(ENDS)
    (directory / "packaged").mkdir()
    (directory / "packaged" / "__init__.py").write_text("")
    (directory / "packaged" / "__main__.py").write_text(
        "import sys\nif __name__ == '__main__': print(sys.argv[1:])"
    )
    (directory / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    return directory


@pytest.fixture(scope="module")
def house(modules: Path) -> Iterator[House]:
    house = House(modules)
    yield house
    house.server.close()


def test_a_forked_process_finds_what_a_started_one_finds(house):
    assert house.fork("teller", "one", "two", TOLD="later").wait(PATIENCE_S) == 0
    forked = json.loads(house.log.read_text())
    with house.log.open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "teller", "one", "two"],
            env={**house.environment, "TOLD": "later"},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # as the template was started
            check=True,
        )
    assert forked == json.loads(house.log.read_text())


def test_a_command_has_streams_and_a_directory_of_its_own(modules, tmp_path):
    (modules / "echo.py").write_text(
        "import os, sys\n"
        "if __name__ == '__main__': print(sys.stdin.read()), print(os.getcwd(), file=sys.stderr), sys.exit(3)"
    )
    environment = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{modules}"}
    done = run_forked("echo", environment=environment, directory=tmp_path, given="said")
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", f"{tmp_path}\n")


def test_a_package_is_run_by_its_main_module(house):
    assert house.fork("packaged", "given").wait(PATIENCE_S) == 0
    assert house.log.read_text() == "['given']\n"


@pytest.mark.parametrize(
    ("how", "code"), [("code", 3), ("error", 1), ("signal", -signal.SIGSEGV), ("end", 0)]
)
def test_its_end_is_told(house, how, code):
    process = house.fork("ends", how)
    assert process.wait(PATIENCE_S) == process.poll() == process.returncode == code
    assert ("LookupError: nothing there" in house.log.read_text()) == (how == "error")


def test_it_is_killed_and_asked_to_end_as_any_process(house):
    ended = {}
    for name, end in (("kill", ForkedProcess.kill), ("terminate", ForkedProcess.terminate)):
        process = house.fork("ends", "sleep")
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        wait_for(house.log.read_text, PATIENCE_S, "begin")
        end(process)
        ended[name] = process.wait(PATIENCE_S)
        end(process)  # nothing more happens
    assert ended == {"kill": -signal.SIGKILL, "terminate": -signal.SIGTERM}


def test_a_failpoint_is_armed_in_the_process_whose_environment_names_it(house, modules):
    (modules / "reaching.py").write_text(
        "from common.failpoint import Failpoint\nif __name__ == '__main__': Failpoint.STAGED.reach()"
    )
    codes = [house.fork("reaching", **one).wait(PATIENCE_S) for one in ({}, {"FAILPOINT": "staged"}, {})]
    assert codes == [0, -signal.SIGKILL, 0]
    assert house.fork("reaching", FAILPOINT="nowhere").wait(PATIENCE_S) == EXIT_BAD_SETTINGS


@pytest.mark.parametrize(
    ("module", "told"), [("threaded", "has started threads"), ("absent", "no module absent")]
)
def test_what_cannot_be_forked_is_refused_with_the_reason(modules, module, told):
    house = House(modules)
    with pytest.raises(AssertionError, match=told):
        house.fork(module)
    house.server.close()


def test_a_dead_template_takes_its_processes_with_it_and_whoever_asks_is_told(modules):
    house = House(modules)
    process = house.fork("ends", "sleep")
    house.server.process.kill()
    with pytest.raises(AssertionError, match="the fork server has ended"):
        process.wait(PATIENCE_S)
    with pytest.raises(AssertionError, match="the fork server has ended"):
        house.fork("ends", "end")
    wait_for(lambda: not is_running(process.pid), PATIENCE_S, "end of the process")
    house.server.close()


def test_a_killed_process_of_tests_leaves_nothing_running(modules):
    code = """
import sys, time
from pathlib import Path
from tests.unit.repository.test_fork_server import House
house = House(Path(sys.argv[1]))
print(house.server.process.pid, house.fork("ends", "sleep").pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(modules)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        pids = [int(pid) for pid in tests.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        tests.kill()
    wait_for(lambda: not any(map(is_running, pids)), PATIENCE_S, "end of both")


def test_what_libraries_read_when_they_are_loaded_has_a_template_of_its_own(modules):
    first: Callable[..., ForkServer] = lambda **more: server_for({"PYTHONPATH": str(REPOSITORY), **more})  # noqa: E731
    assert first() is first(API_PORT="8000")
    assert first() is not first(OMP_NUM_THREADS="3")
