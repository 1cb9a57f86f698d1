"""Runs a service as its container's command; one that a restart would not mend is held instead.

    python -m deploy.hold processor

Docker restarts by policy and knows no exit codes: `unless-stopped` would start a worker with bad settings
again for ever, or let two workers with one WORKER_ID fence each other in turns; `on-failure` would not bring
a service back when the host has been restarted. So the policy is `unless-stopped`, and a service that ends
with one of HELD leaves its container running, not healthy and doing nothing, until it is stopped.
"""

import ctypes
import signal
import subprocess
import sys

# EXIT_BAD_SETTINGS and EXIT_FENCED: their modules would cost this process 50 MB
HELD = (64, 65)
_STOP = (signal.SIGTERM, signal.SIGINT)
_WAITED_FOR = {*_STOP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """`arguments` go to `python -m`. Returns the exit code, as a shell gives it for a signal."""
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
        print(f"{arguments[0]} has ended for good (exit code {code}): see above, then restart", flush=True)
        signal.sigwait(_STOP)
    return code if code >= 0 else 128 - code


def _begin() -> None:
    """In the new process: it takes signals again, and ends with us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
