"""`python -m local COMMAND`: start_local.sh runs it once everything is installed."""

import os
import signal
import sys
from pathlib import Path

import psutil

from local import config as configuration
from local import demo, env_file, execute, last_start, leftovers, lifecycle
from local.config import DEMO_HOST, LocalConfig
from local.errors import LocalError
from local.lifecycle import say
from local.private_files import UMASK
from local.supervision import Supervisor
from local.watch import readiness

_ROOT = Path(__file__).resolve().parents[1]
_LOG_LINES = "40"


def status(config: LocalConfig) -> int:
    """Prints a line for each program. Returns 0 if all of them are ready, else 1."""
    supervisor = Supervisor(config)
    if not supervisor.is_running():
        _print_leftovers(leftovers.find(config.root))
        return 1
    config = config.running()
    all_ready = True
    programs = supervisor.programs()
    for name in config.programs:
        program = programs.get(name)
        ready, detail = _state(config, name, program is not None and program.state == "RUNNING")
        all_ready &= ready
        process = f"pid {program.pid}, up {program.uptime_s} s" if program and program.pid else ""
        say(f"{name:10} {'ready' if ready else 'NOT READY':10} {process:24} {detail}".rstrip())
    return 0 if all_ready else 1


def _print_leftovers(found: list[psutil.Process]) -> None:
    if not found:
        say("UVR API is not running.")
        return
    say(f"The supervisor of UVR API is gone, and {len(found)} of its processes still run:")
    for process in found:
        say(f"  {leftovers.describe(process)}")
    say("./start_local.sh ends them and starts again; ./start_local.sh stop only ends them.")


def _state(config: LocalConfig, name: str, running: bool) -> tuple[bool, str]:
    if not running:
        return False, f"not running; to see why: ./start_local.sh logs {name}"
    if name in config.services:
        return readiness(config.health_url(name))
    return True, ""


def logs(config: LocalConfig, arguments: list[str]) -> int:
    """Becomes `tail` on the logs of the named programs. Raises LocalError when there are none."""
    follow = "-f" in arguments
    config = config.running()
    names = [argument for argument in arguments if argument != "-f"] or list(config.programs)
    known = ("kafka", "store", *config.services, DEMO_HOST)
    for name in names:
        if name not in known:
            raise LocalError(f"there is no service {name!r}: expected {', '.join(known)}")
    # .out.log has everything that a program prints; its own log file lacks errors from before logging began.
    files = [str(file) for name in names if (file := config.log_dir / f"{name}.out.log").exists()]
    if not files:
        raise LocalError(f"there are no logs in {config.log_dir} yet: start UVR API with ./start_local.sh")
    sys.stdout.flush()
    # Python ignores SIGPIPE; with the default, tail ends without an error in `logs | head`.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp("tail", ["tail", "-n", _LOG_LINES, *(["-F"] if follow else []), "--", *files])


def run(arguments: list[str]) -> int:
    """Runs the command and returns its exit code. Raises LocalError."""
    command, *rest = arguments or ["up"]
    if command == "exec":
        return execute.run(configuration.load(_ROOT, os.environ), rest)
    if rest and command != "logs":
        raise LocalError(f"{command} takes no argument (got {rest[0]!r})")
    if command in ("up", "demo"):
        config = configuration.load(_ROOT, os.environ)
        _warn_of_dollars()
        config = lifecycle.up(config)
        return demo.run(config) if command == "demo" else 0
    config = last_start.load(_ROOT, os.environ)
    if command == "stop":
        lifecycle.stop(config)
        return 0
    if command == "status":
        return status(config)
    if command == "logs":
        return logs(config, rest)
    raise LocalError(f"there is no command {command!r}: expected up, demo, status, logs, exec or stop")


def _warn_of_dollars() -> None:
    for name in env_file.expanded_by_compose(_ROOT / ".env"):
        say(
            f"Warning: .env: {name} contains $, which docker compose would expand and this start does not. "
            "Put its value into single quotes, and both read it alike."
        )


def main() -> int:
    os.umask(UMASK)
    # As an exception, so that a start that is ended from outside (`timeout`) stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(sys.argv[1:])
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
