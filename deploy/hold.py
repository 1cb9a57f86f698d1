"""Runs a service in its container, and holds the container when a restart would not help.

    python -m deploy.hold processor

Docker's restart policies ignore exit codes. `unless-stopped` would restart a worker with bad settings for
ever, and let two workers with one WORKER_ID fence each other in turns. `on-failure` would not start a service
again after the host has restarted.

So the policy is `unless-stopped`. When a service ends with one of HELD, its container keeps running,
unhealthy and idle, until it is stopped. The file `state_file("held")` informs the health check.
"""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

from deploy.state_files import state_file

# EXIT_BAD_SETTINGS and EXIT_FENCED, as numbers: importing their modules would cost this process 50 MB.
HELD = (64, 65)
_STOP = (signal.SIGTERM, signal.SIGINT)
_WAITED_FOR = {*_STOP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Runs `python -m` with `arguments`. Returns its exit code; 128 + N after the signal N, as shells do."""
    for name in ("held", "was-ready"):  # an earlier run's, if the directory outlives the container
        Path(state_file(name)).unlink(missing_ok=True)
    # Signals are blocked and waited for, so that none is lost before the service has started.
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
    """Writes the reason for holding, then waits until the container is stopped."""
    ended = f"{service} has ended for good (exit code {code})"
    Path(state_file("held")).write_text(f"{ended}; to see why: docker compose logs {service}")
    print(
        f"{ended}: fix the error above, then run docker compose up -d --force-recreate {service}", flush=True
    )
    signal.sigwait(_STOP)


def _begin() -> None:
    """Runs in the new process: unblocks signals, and has the process killed when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
