"""The services as real processes, each with its own directory, logs and free port."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.forked_service import ForkedService
from tests.support.paths import REPOSITORY
from tests.support.ports import take_port
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

# which setting a service takes its port from
_PORT_SETTING = {"api": "API_PORT"}

# settings of the machine that the tests run on must not reach the services
_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "UVR_CACHE_DIR",
)


class Service:
    """One `python -m MODULE`. `port` is where it answers `/livez` and `/readyz` (and the api everything).

    `forked`: the fork server starts it, unless a wrapper does.
    """

    def __init__(
        self,
        module: str,
        directory: Path,
        settings: Mapping[str, str],
        arguments: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
        forked: bool = False,
    ):
        directory.mkdir(parents=True)
        self.module = module
        self.directory = directory
        self.port = take_port()
        self.log_dir = directory / "logs"
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        env["PYTHONPATH"] = str(REPOSITORY)
        env["PYTHONUNBUFFERED"] = "1"
        env["LOG_DIR"] = str(self.log_dir)
        env["TEMP_DIR"] = str(directory / "temp")
        env["OUTPUT_DIR"] = str(directory.parent / "outputs")
        env["VIEW_FILE"] = str(directory / "view.sqlite3")
        env["WORKER_ID"] = directory.name
        env[_PORT_SETTING.get(module, "HEALTH_PORT")] = str(self.port)
        env |= settings
        argv = [*wrapper, sys.executable, "-m", module, *arguments]
        make = ForkedService if forked and not wrapper else ManagedProcess
        self.process = make(argv, directory / "output.log", env, cwd=REPOSITORY)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, also again after its end, with the same settings and port."""
        self.process.start()

    def get(self, path: str) -> tuple[int, dict] | None:
        """Status and JSON body of `path`; None while nothing answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (OSError, ValueError):
            return None

    def wait_ready(self, timeout_s: float = 90) -> None:
        """Waits for 200 on `/readyz`. Raises AssertionError with the last answer, or as soon as it ends."""
        last: list[object] = []

        def ready() -> bool:
            assert self.process.returncode is None, (
                f"{self.module} ended ({self.process.returncode}): {self.tail()}"
            )
            answer = self.get("/readyz")
            last[:] = [answer]
            return answer is not None and answer[0] == 200

        try:
            wait_for(ready, timeout_s, f"readiness of {self.module}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last answer {last}; {self.tail()}") from None

    def kill(self) -> None:
        self.process.kill()

    def stop(self, timeout_s: float = 40) -> int:
        """SIGTERM; the exit code."""
        return self.process.stop(timeout_s)

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def log(self) -> str:
        """What it has written to its log file (`logs/api.log` and so on)."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.log_dir.glob("*.log")))

    def tail(self) -> str:
        return f"{self.process.output()[-3000:]}\n{self.log()[-3000:]}"


class Stack:
    """Starts services below one directory. Those started from one Stack share the stage (`outputs`).

    `wrapper` gives, for a service's name, the command that its own command is an argument of. `forked`: see
    Service.
    """

    def __init__(
        self,
        directory: Path,
        wrapper: Callable[[str], tuple[str, ...]] = lambda name: (),
        forked: bool = False,
    ):
        self.directory = directory
        self._forked = forked
        self._wrapper = wrapper
        self.services: list[Service] = []

    @property
    def outputs(self) -> Path:
        return self.directory / "outputs"

    def start(
        self,
        module: str,
        settings: Mapping[str, str],
        *arguments: str,
        wait: bool = True,
        timeout_s: float = 90,
    ) -> Service:
        """Runs `python -m module arguments…` with `settings` in its environment; waits until it is ready."""
        name = f"{module.split('.')[0]}-{len(self.services) + 1}"
        service = Service(
            module, self.directory / name, settings, arguments, self._wrapper(name), self._forked
        )
        self.services.append(service)
        service.start()
        if wait:
            service.wait_ready(timeout_s)
        return service

    def kill_all(self) -> None:
        for service in self.services:
            service.kill()
