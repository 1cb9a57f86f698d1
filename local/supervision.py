"""Runs the stack's programs under supervisord: configures it, starts it, and is its client."""

import os
import re
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from common.settings.exit_codes import EXIT_BAD_SETTINGS, EXIT_FENCED
from local import program_environment
from local.config import DEMO_HOST, LocalConfig, kind_of
from local.errors import LocalError
from local.leftovers import MARKER
from local.private_files import UMASK

# After these exit codes supervisord does not restart a program, since it would end in the same way.
NOT_RESTARTED = (0, EXIT_BAD_SETTINGS, EXIT_FENCED)
_STOP_WAIT_S = {"store": 5, "kafka": 30}
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Program:
    """The state of a program in supervisord. `exit_code` is that of the program's last exit."""

    name: str
    state: str
    pid: int
    exit_code: int
    uptime_s: int


def socket_path(config: LocalConfig) -> Path:
    """Returns the path of supervisord's socket."""
    return config.run_dir / "supervisor.sock"


def make_log_dir(config: LocalConfig) -> None:
    """Makes LOG_DIR. Raises LocalError if that fails, or supervisord's configuration cannot name it."""
    text = _from_root(config, config.log_dir)
    if re.search(r"\s[;#]|[\r\n]", text) or text != text.strip():
        raise LocalError(f"LOG_DIR: expected no line break, and no ; or # after a blank (got {text!r})")
    try:
        config.log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"LOG_DIR: {error.strerror}: {config.log_dir}") from None


def start_daemon(config: LocalConfig, env: dict[str, str]) -> None:
    """Starts supervisord without starting a program. Raises LocalError.

    `env` is the environment of the whole stack; each program gets the variables that it needs.
    """
    config.run_dir.mkdir(parents=True, exist_ok=True)
    make_log_dir(config)
    env = {**env, MARKER: str(config.root)}
    program_environment.write_all(config, env)
    conf = config.run_dir / "supervisord.conf"
    conf.write_text(configuration(config))
    result = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)],
        cwd=config.root,
        env=program_environment.machine_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"exit code {result.returncode}"
        raise LocalError(f"cannot start supervisord: {reason}")


def configuration(config: LocalConfig) -> str:
    """Returns the text of supervisord's configuration.

    supervisord runs in the checkout, whose path may have any characters. So paths there are relative: the
    file's format has no escape for a comment sign after a blank.
    """
    socket = socket_path(config)
    sections: list[tuple[str, Mapping[str, object]]] = [
        # supervisord makes the path absolute, and the kernel takes no more than 107 bytes.
        ("unix_http_server", {"file": f"/proc/self/cwd/{_from_root(config, socket)}", "chmod": "0700"}),
        (
            "supervisord",
            {
                "logfile": _from_root(config, config.log_dir / "supervisord.log"),
                "logfile_maxbytes": "5MB",
                "logfile_backups": "2",
                "pidfile": _from_root(config, config.run_dir / "supervisord.pid"),
                "umask": f"{UMASK:03o}",
            },
        ),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        *((f"program:{name}", _program(config, name)) for name in config.supervised),
    ]
    lines = []
    for title, values in sections:
        lines.append(f"[{title}]")
        # supervisord expands % in every value.
        lines += [f"{key}={str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _program(config: LocalConfig, name: str) -> dict[str, object]:
    values = {
        # An empty string in quotes keeps a blank and a comment sign apart.
        "command": re.sub(r"(?<=\s)(?=[;#])", "''", shlex.join(_command(config, name))),
        "autostart": "false",
        "autorestart": "unexpected",
        "exitcodes": ",".join(map(str, NOT_RESTARTED)),
        # With a minimum uptime supervisord would retry a program that ends early, whatever its exit code.
        "startsecs": "0",
        "stopwaitsecs": _STOP_WAIT_S.get(name) or _grace_s(config) + 15,
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _from_root(config, config.log_dir / f"{name}.out.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }
    if name in config.services:
        pairs = config.service_environment(name).items()
        values["environment"] = ",".join(f'{key}="{value}"' for key, value in pairs)
    return values


def _command(config: LocalConfig, name: str) -> list[str]:
    python = _from_root(config, Path(sys.executable))
    environment = _from_root(config, program_environment.file_of(config, name))
    return [python, "-m", "local.launch", environment, python, "-m", *_module(config, name)]


def _module(config: LocalConfig, name: str) -> list[str]:
    """Returns the program's module and arguments."""
    if name == "kafka":
        spec = config.broker
        data_dir = _from_root(config, spec.data_dir)
        return ["local.broker", data_dir, str(spec.port), str(spec.controller_port)]
    if name == "store":
        port, prefix = str(config.ports["S3_PORT"]), config.given.get("S3_PREFIX", "")
        data_dir = _from_root(config, config.store_dir)
        return ["local.store", data_dir, port, config.bucket, *filter(None, [prefix])]
    if name == DEMO_HOST:
        return ["local.demo_host", str(config.ports["DEMO_PORT"]), _from_root(config, config.demo_dir)]
    return [kind_of(name)]


def _from_root(config: LocalConfig, path: Path) -> str:
    """Returns the path from the checkout on, or the whole path if it leads elsewhere."""
    return str(path.relative_to(config.root) if path.is_relative_to(config.root) else path)


def _grace_s(config: LocalConfig) -> int:
    try:
        return int(float(config.given.get("SHUTDOWN_GRACE_S", "30")))
    except (ValueError, OverflowError):  # the service reports the wrong setting when it starts
        return 30


class Supervisor:
    """A client of the running supervisord."""

    def __init__(self, config: LocalConfig):
        # start_local.sh runs in the checkout, and the kernel takes no more than 107 bytes.
        path = str(socket_path(config))
        self._url = f"unix://{min(path, os.path.relpath(path), key=len)}"

    @property
    def _rpc(self) -> Any:
        # A new connection each time, since one cannot be used again after an error.
        transport = SupervisorTransport(None, None, self._url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def is_running(self) -> bool:
        """Returns True if supervisord answers."""
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def wait_running(self, timeout_s: float) -> None:
        """Waits until supervisord answers. Raises LocalError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not self.is_running():
            if time.monotonic() > deadline:
                raise LocalError("supervisord does not answer: see logs/supervisord.log")
            time.sleep(0.05)

    def programs(self) -> dict[str, Program]:
        """Returns the programs by name. Raises LocalError when supervisord does not answer."""
        try:
            return {info["name"]: _program_of(info) for info in self._rpc.getAllProcessInfo()}
        except OSError as error:
            raise LocalError(f"supervisord does not answer ({error}): see logs/supervisord.log") from error

    def start(self, name: str) -> None:
        """Starts the program unless it runs already. Raises LocalError."""
        try:
            self._rpc.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise LocalError(f"cannot start {name}: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Stops the program if it runs, and returns once it has ended. Raises LocalError."""
        try:
            # supervisord would keep a core busy for as long as it waits itself.
            self._rpc.stopProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in (Faults.NOT_RUNNING, Faults.BAD_NAME):
                return
            raise LocalError(f"cannot stop {name}: {fault.faultString}") from fault
        while self.programs()[name].state == "STOPPING":
            time.sleep(_LOOK_EVERY_S)

    def shut_down(self) -> None:
        """Asks supervisord to stop everything and to end."""
        self._rpc.shutdown()


def _program_of(info: Mapping[str, Any]) -> Program:
    running = info["statename"] == "RUNNING"
    uptime_s = info["now"] - info["start"] if running else 0
    return Program(info["name"], info["statename"], info["pid"], info["exitstatus"], uptime_s)
