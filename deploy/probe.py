"""A container's health check: exit code 0 when the address answers 200.

    python -m deploy.probe http://127.0.0.1:8001/readyz

Its output, the answer, is what `docker inspect` shows of a check.
"""

import http.client
import sys
from urllib.parse import urlsplit

_TIMEOUT_S = 5


def main(url: str) -> int:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        print(answer.status, answer.read(4096).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"{url}: {error!r}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
