"""Runs a service as its container's command, and holds the container where a restart would not help.

    python -m deploy.hold processor

Docker restarts containers by policy, whatever their exit code. `unless-stopped` would restart a worker with
bad settings for ever. It would also let two workers with the same WORKER_ID fence each other in turns.
`on-failure` would not bring a service back after the host has restarted.

So the policy is `unless-stopped`. When a service ends with a code in HELD, its container stays: unhealthy and
idle, until somebody stops it. The file `state_file("held")` tells the health check.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

# EXIT_BAD_SETTINGS and EXIT_FENCED. Importing them from their modules would cost this process 50 MB.
HELD = (64, 65)
_STOP = (signal.SIGTERM, signal.SIGINT)
_WAITED_FOR = {*_STOP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


def state_file(name: str) -> Path:
    """Return the path of a file in the container's temporary directory. The health check reads the file."""
    return Path(os.environ.get("TMPDIR") or "/tmp", f"uvr-{name}")


def main(arguments: list[str]) -> int:
    """Run `python -m` with the arguments. Return the exit code; for a signal, the code that a shell gives."""
    for name in ("held", "was-ready"):  # an earlier run's files stay where the directory is kept
        state_file(name).unlink(missing_ok=True)
    # Block signals before the service starts, and wait for them: a handler set later could miss one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    service = subprocess.Popen([sys.executable, "-m", *arguments], preexec_fn=_begin)
    stopping = False
    while service.poll() is None:
        number = signal.sigwait(_WAITED_FOR)
        if number in _STOP:
            stopping = True
            service.send_signal(number)
    code = service.returncode
    if code in HELD and not stopping:
        _hold(arguments[0], code)
    return code if code >= 0 else 128 - code


def _hold(service: str, code: int) -> None:
    """Say why the service has ended, then wait until the container is stopped."""
    why = f"{service} has ended for good (exit code {code})"
    state_file("held").write_text(f"{why}: docker compose logs {service} says why")
    print(f"{why}: mend what it says above, then docker compose up -d --force-recreate {service}", flush=True)
    signal.sigwait(_STOP)


def _begin() -> None:
    """Let the new process take signals again, and have the kernel end it with this one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
