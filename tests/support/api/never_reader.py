"""Clients that ask and never read: `python -m tests.support.api.never_reader PORT COUNT PATH`.

Each has a receive buffer of 2 KB, and sends as many requests as the connection takes. Prints a line once all
have connected. Each line of standard input is then answered with how many of them the server still has.
"""

import contextlib
import resource
import select
import socket
import sys

_RECEIVE_BUFFER = 2048
_REQUESTS = 400


def _connect(port: int, path: str) -> socket.socket | None:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    client.settimeout(60)
    try:
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * _REQUESTS)
    except OSError:
        client.close()
        return None
    return client


def _count_open(clients: list[socket.socket]) -> int:
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLRDHUP)
    return len(clients) - len(poll.poll(0))


def main(port: int, count: int, path: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = [client for _ in range(count) if (client := _connect(port, path)) is not None]
    print("connected", flush=True)
    for _ in sys.stdin:
        print(_count_open(clients), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
