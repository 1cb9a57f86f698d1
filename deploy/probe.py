"""Checks a container's health: waits until the service is ready, and fails at once where it is held.

    python -m deploy.probe http://127.0.0.1:8001/readyz START_S

The exit code is 0 when the address answers 200. The check waits up to START_S for the first such answer, and
up to 60 s after that. The patience is here because Docker's own start period would hide a held service.
`docker inspect` shows the output, which is the last answer.
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
    """Return the exit code. Create `was_ready` at the first 200; `held` exists while the service is held."""
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
