"""Waits for a program to be ready, or to fail for good."""

import http.client
import json
import time
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from local import ports, store_client
from local.config import LocalConfig
from local.errors import LocalError
from local.supervision import NOT_RESTARTED, Program, Supervisor

_CRASHES = 3
_REPORT_EVERY_S = 10


def readiness(url: str) -> tuple[bool, str]:
    """Asks `/readyz`. Returns whether the service is ready, and the details of the answer."""
    try:
        with ports.opener.open(url, timeout=5) as answer:
            return True, _details(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return False, _details(_json_or_nothing(error))
    except (OSError, ValueError, http.client.HTTPException):
        return False, "no answer yet"


def _json_or_nothing(answer: IO[bytes]) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.load(answer)
    except ValueError:
        return {}
    return body


def _details(body: Mapping[str, Any]) -> str:
    checks = body.get("checks", {})
    return ", ".join(
        f"{name}: {check.get('detail') or ('ok' if check.get('ok') else 'not ready')}"
        for name, check in checks.items()
    )


class StartWaiter:
    """Waits for programs under `supervisor`; `say` gets a line every 10 s and once a program is ready."""

    def __init__(self, config: LocalConfig, supervisor: Supervisor, say: Callable[[str], None]):
        self._config = config
        self._supervisor = supervisor
        self._say = say

    def wait_service(self, name: str, timeout_s: float) -> None:
        """Waits for the service's `/readyz`. Raises LocalError when it has ended, or after `timeout_s`."""
        self._wait_told(name, lambda: readiness(self._config.health_url(name)), timeout_s)

    def wait_store(self, timeout_s: float) -> None:
        """Waits until the stack's own store accepts objects. Raises LocalError as `wait_service` does."""
        config = self._config
        place = (config.store_dir, config.ports["S3_PORT"], config.bucket)
        self._wait_told("store", lambda: store_client.readiness(*place), timeout_s)

    def _wait_told(self, name: str, look: Callable[[], tuple[bool, str]], timeout_s: float) -> None:
        details = "no answer yet"

        def ready() -> bool:
            nonlocal details
            is_ready, details = look()
            return is_ready

        self.wait(name, ready, timeout_s, lambda: details)

    def wait(
        self, name: str, ready: Callable[[], bool], timeout_s: float, why_not: Callable[[], str] = lambda: ""
    ) -> None:
        """Waits until `ready()`. Raises LocalError when the program has ended, or after `timeout_s`."""
        began = time.monotonic()
        reported = began
        pids: set[int] = set()
        while not ready():
            self._check_alive(name, pids)
            now = time.monotonic()
            if now - began > timeout_s:
                raise LocalError(
                    f"{name} is not ready after {timeout_s:.0f} s: {why_not() or self._last_line(name)}"
                )
            if now - reported >= _REPORT_EVERY_S:
                reported = now
                reason = f": {why_not()}" if why_not() else ""
                self._say(f"waiting for {name} ({now - began:.0f} s so far){reason}")
            time.sleep(0.2)
        self._say(f"{name} is ready")

    def _check_alive(self, name: str, pids: set[int]) -> None:
        program = self._supervisor.programs()[name]
        if ended_for_good(program):
            raise LocalError(f"{name} has ended with exit code {program.exit_code}: {self._last_line(name)}")
        pids.add(program.pid)
        if len(pids - {0}) >= _CRASHES:
            self._supervisor.stop(name)
            raise LocalError(f"{name} keeps ending after each restart: {self._last_line(name)}")

    def _last_line(self, name: str) -> str:
        log = self._config.log_dir / f"{name}.out.log"
        return f"{last_line(log)} (more: ./start_local.sh logs {name})"


def ended_for_good(program: Program) -> bool:
    """Returns True if supervisord will not start the program again."""
    exited = program.state == "EXITED" and program.exit_code in NOT_RESTARTED
    return exited or program.state in ("STOPPED", "FATAL")


def last_line(path: Path) -> str:
    """Returns the last line that is not empty; empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode(errors="replace").split("\n")]
    return next((line for line in reversed(lines) if line), "")
