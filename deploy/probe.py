"""Checks a container's health: waits until the service is ready, and fails at once if it is held.

    python -m deploy.probe http://127.0.0.1:8001/readyz START_S

The exit code is 0 when the address answers 200. The check waits up to START_S until the first 200, afterwards
up to 60 s. The waiting is here, because Docker's start period would hide that a service is held. The output
is the last answer, which `docker inspect` shows.
"""

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from deploy.hold import state_file

_TIMEOUT_S = 5
_PATIENCE_S = 60.0
_INTERVAL_S = 0.5


def main(url: str, start_s: float, was_ready: Path, held: Path) -> int:
    """Waits for 200 and returns the exit code.

    The file `was_ready` is made once the service is ready; the file `held` exists while the service is held.
    """
    deadline = time.monotonic() + (_PATIENCE_S if was_ready.exists() else start_s)
    while True:
        if held.exists():
            print(held.read_text())
            return 1
        ready, answer = _ask(url)
        if ready:
            was_ready.touch()
        if ready or time.monotonic() >= deadline:
            print(answer)
            return 0 if ready else 1
        time.sleep(_INTERVAL_S)


def _ask(url: str) -> tuple[bool, str]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        return answer.status == 200, f"{answer.status} {answer.read(4096).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url}: {error!r}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), state_file("was-ready"), state_file("held")))
