"""The loopback interface: which ports are free, which answer, and HTTP to them."""

import random
import socket
import urllib.request

LOOPBACK = "127.0.0.1"

# proxies of the environment are for other machines' addresses
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # as servers do it, so that connections in TIME_WAIT don't count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` distinct ports that were free a moment ago.

    Taken below the range from which the kernel gives ports to outgoing connections: a client that
    keeps connecting to a server that is down would else, sooner or later, be connected to itself and
    hold the server's port.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(15000, 32000)
        if is_free(port):
            found.add(port)
    return list(found)
