"""`python -m local COMMAND`: what start_local.sh runs once everything is installed."""

import os
import signal
import sys
from pathlib import Path

from local import config as configuration
from local import demo, execute, leftovers, lifecycle
from local.config import DEMO_HOST, LocalConfig
from local.errors import LocalError
from local.lifecycle import say
from local.private_files import UMASK
from local.supervision import Supervisor
from local.watch import readiness

_ROOT = Path(__file__).resolve().parents[1]
_LOG_LINES = "40"


def status(config: LocalConfig) -> int:
    """Prints a line a program. 0 if all of them are ready, else 1."""
    supervisor = Supervisor(config)
    if not supervisor.is_running():
        left = leftovers.find(config.root)
        say(
            "UVR API is not running."
            if not left
            else f"Its supervisor is gone; {len(left)} processes are left."
        )
        for process in left:
            say(f"  {leftovers.describe(process)}")
        if left:
            say("./start_local.sh ends them and starts afresh; ./start_local.sh stop ends them")
        return 1
    config = config.running()
    all_ready = True
    programs = supervisor.programs()
    for name in config.programs:
        program = programs.get(name)
        ready, detail = _state(config, name, program is not None and program.state == "RUNNING")
        all_ready &= ready
        pid = f"pid {program.pid}, {program.uptime_s} s" if program and program.pid else ""
        say(f"{name:10} {'ready' if ready else 'NOT READY':10} {pid:22} {detail}".rstrip())
    return 0 if all_ready else 1


def _state(config: LocalConfig, name: str, running: bool) -> tuple[bool, str]:
    if not running:
        return False, f"does not run: ./start_local.sh logs {name}"
    if name in config.services:
        return readiness(config.health_url(name))
    return True, ""


def logs(config: LocalConfig, arguments: list[str]) -> int:
    follow = "-f" in arguments
    config = config.running()
    names = [argument for argument in arguments if argument != "-f"] or list(config.programs)
    known = ("kafka", "store", *config.services, DEMO_HOST)
    for name in names:
        if name not in known:
            raise LocalError(f"no service {name!r}: expected {', '.join(known)}")
    # all that a service prints; its own log file, without what goes wrong before it logs, lies beside it
    files = [str(file) for name in names if (file := config.log_dir / f"{name}.out.log").exists()]
    if not files:
        raise LocalError(f"no logs yet in {config.log_dir}")
    sys.stdout.flush()
    # Python ignores it, and tail would complain where nobody reads on (`logs | head`).
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp("tail", ["tail", "-n", _LOG_LINES, *(["-F"] if follow else []), "--", *files])


def run(arguments: list[str]) -> int:
    command, *rest = arguments or ["up"]
    if command == "exec":
        return execute.run(configuration.load(_ROOT, os.environ), rest)
    if rest and command != "logs":
        raise LocalError(f"{command} takes no argument (got {rest[0]!r})")
    config = configuration.load(_ROOT, os.environ)
    if command == "up":
        lifecycle.up(config)
        return 0
    if command == "stop":
        lifecycle.stop(config)
        return 0
    if command == "status":
        return status(config)
    if command == "logs":
        return logs(config, rest)
    if command == "demo":
        return demo.run(lifecycle.up(config))
    raise LocalError(f"no command {command!r}: expected up, demo, status, logs, exec or stop")


def main() -> int:
    os.umask(UMASK)
    # What a start has begun is stopped again when it is ended from outside (`timeout`, a supervisor).
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
