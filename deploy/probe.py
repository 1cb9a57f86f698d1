"""Checks a container's health: waits until the service is ready, and fails at once if it is held.

    python -m deploy.probe http://127.0.0.1:8001/readyz START_S

The exit code is 0 when the address answers 200. The check waits up to START_S until the first 200, afterwards
up to 60 s. The waiting is here, because Docker's start period would hide that a service is held. The output
is the last answer, which `docker inspect` shows.

Once the service was ready, each check watches it for a minute: starting a process in the container takes 50
times the CPU of asking. For the same reason this module imports little.
"""

import os
import socket
import sys
import time

from deploy.state_files import state_file

_TIMEOUT_S = 5
_PATIENCE_S = 60.0
_INTERVAL_S = 0.5
_WATCH_S = 60.0
_WATCH_INTERVAL_S = 5.0
_MAX_BYTES = 8192


def main(url: str, start_s: float, was_ready: str, held: str) -> int:
    """Waits for 200 and returns the exit code. Goes on for a minute where the service was ready before.

    The file `was_ready` is made once the service is ready; the file `held` exists while the service is held.
    """
    again = os.path.exists(was_ready)
    began = time.monotonic()
    deadline = began + (_PATIENCE_S if again else start_s)
    watched_until = began + _WATCH_S if again else began
    while True:
        if os.path.exists(held):
            with open(held) as file:
                print(file.read())
            return 1
        ready, answer = _ask(url)
        now = time.monotonic()
        if ready:
            deadline = now + _PATIENCE_S
            with open(was_ready, "a"):
                pass
        if now >= (watched_until if ready else deadline):
            print(answer)
            return 0 if ready else 1
        time.sleep(_WATCH_INTERVAL_S if ready else _INTERVAL_S)


def _ask(url: str) -> tuple[bool, str]:
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((name, int(port)), timeout=_TIMEOUT_S) as connection:
            connection.sendall(request.encode())
            answer = _read(connection)
        head, _, body = answer.partition("\r\n\r\n")
        status = int(head.split()[1])
    except (OSError, ValueError, IndexError) as error:
        return False, f"{url}: {error!r}"
    return status == 200, f"{status} {body}"


def _read(connection: socket.socket) -> str:
    """Returns the beginning of the answer, which ends where the service closes the connection."""
    answer = b""
    while len(answer) < _MAX_BYTES:
        data = connection.recv(_MAX_BYTES)
        if not data:
            break
        answer += data
    return answer.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), state_file("was-ready"), state_file("held")))
