"""Finds free ports of the loopback interface, and sends HTTP requests to them."""

import random
import socket
import urllib.request

LOOPBACK = "127.0.0.1"

# Without the environment's proxy, which cannot reach this machine's addresses.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_free(port: int) -> bool:
    """Returns True if a server could listen on the port."""
    with socket.socket() as probe:
        # As servers do, so that connections in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Returns True if the port accepts a connection."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Returns `count` distinct ports that were free a moment ago.

    They are below the range from which the kernel takes ports for outgoing connections. Otherwise a client
    that keeps connecting to a stopped server could be connected to itself and hold the server's port.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(15000, 32000)
        if is_free(port):
            found.add(port)
    return list(found)
