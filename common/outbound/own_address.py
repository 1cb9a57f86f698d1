"""Tells whether an IP address is this host's own. Even a public one would lead to our own services."""

import ipaddress
import socket
from collections.abc import Sequence

# Documentation addresses (RFC 5737, RFC 3849), which no host has.
_UNASSIGNED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_own(address: str) -> bool:
    """Returns whether this host has the address, which shows in that a socket can be bound to it.

    Returns False where the kernel lets sockets be bound to any address (`ip_nonlocal_bind`). `same_end` still
    finds out after the connection is made.
    """
    ip = _plain(address)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    return _can_bind(family, str(ip)) and not _can_bind(family, _UNASSIGNED[family])


def same_end(sock: socket.socket, addresses: Sequence[str]) -> bool:
    """Returns whether our own end of a connection to one of `addresses` has one of them, too."""
    return _plain(sock.getsockname()[0]) in map(_plain, addresses)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Removes the zone, and turns an IPv4 address that is mapped into IPv6 back into IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return (ip.version == 6 and ip.ipv4_mapped) or ip


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
