"""Runs a service as its container's command; one that a restart would not mend is held instead.

    python -m deploy.hold processor

Docker restarts by policy and knows no exit codes: `unless-stopped` would start a worker with bad settings
again for ever, or let two workers with one WORKER_ID fence each other in turns; `on-failure` would not bring
a service back when the host has been restarted. So the policy is `unless-stopped`, and a service that ends
with one of HELD leaves its container running, unhealthy and doing nothing, until it is stopped. The file
`state_file("held")` tells the health check so.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

# EXIT_BAD_SETTINGS and EXIT_FENCED: their modules would cost this process 50 MB
HELD = (64, 65)
_STOP = (signal.SIGTERM, signal.SIGINT)
_WAITED_FOR = {*_STOP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


def state_file(name: str) -> Path:
    """A file in the container's temporary directory, by which this process and the health check talk."""
    return Path(os.environ.get("TMPDIR") or "/tmp", f"uvr-{name}")


def main(arguments: list[str]) -> int:
    """`arguments` go to `python -m`. Returns the exit code, as a shell gives it for a signal."""
    for name in ("held", "was-ready"):  # of an earlier run, where the directory is kept
        state_file(name).unlink(missing_ok=True)
    # Blocked and waited for, so that none is lost between the start of the service and that of a handler.
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
    """Waits for the container's end."""
    why = f"{service} has ended for good (exit code {code})"
    state_file("held").write_text(f"{why}: docker compose logs {service} says why")
    print(f"{why}: mend what it says above, then docker compose up -d --force-recreate {service}", flush=True)
    signal.sigwait(_STOP)


def _begin() -> None:
    """In the new process: it takes signals again, and ends with us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
