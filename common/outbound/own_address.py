"""Tells whether an IP address is this host's own: a public one leads inside all the same."""

import ipaddress
import socket
from collections.abc import Sequence

# Documentation addresses (RFC 5737, RFC 3849), which no host has.
_NOBODYS = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_own(address: str) -> bool:
    """Whether this host has the address: only then a socket can be bound to it.

    Where the kernel lets a socket be bound to any address (`ip_nonlocal_bind`), nothing can be told, and the
    answer is no: `same_end` still tells once there is a connection.
    """
    ip = _plain(address)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    return _can_bind(family, str(ip)) and not _can_bind(family, _NOBODYS[family])


def same_end(sock: socket.socket, addresses: Sequence[str]) -> bool:
    """Whether the near end of a connection to one of `addresses` has one of them itself."""
    return _plain(sock.getsockname()[0]) in map(_plain, addresses)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Takes the zone off, and the IPv4 address out of one that is mapped into IPv6."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return (ip.version == 6 and ip.ipv4_mapped) or ip


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
