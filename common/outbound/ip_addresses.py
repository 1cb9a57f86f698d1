"""Tells which IP addresses are public, and which hosts are IP addresses, without any I/O."""

import ipaddress
import re
import socket
from collections.abc import Iterable

from common.outbound.refusals import blocked

NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")

# Only 2000::/3 is given out as global unicast. Blocking the rest also blocks ::/96, v4-mapped addresses,
# NAT64 (64:ff9b::/32), fc00::/7, fe80::/10, fec0::/10 and multicast.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

# Networks that `is_global` of this Python or an older one allows, though they lead inside or elsewhere.
_BLOCKED_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure's host agent, reachable from every virtual machine
            "192.0.0.0/24",  # protocol assignments, Oracle's metadata at .192
            "192.88.99.0/24",  # 6to4 relays
            "100.64.0.0/10",  # carrier-grade NAT, Alibaba's metadata
            "198.18.0.0/15",  # benchmarks
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


def check_public(addresses: Iterable[str], host: str) -> None:
    """Raises PermanentError (address_blocked) unless every one of `addresses` is public.

    A single private address is enough to refuse: an answer that mixes both is an attack or a mistake.
    """
    # The message goes to the user, so it does not tell what our own name servers answered.
    if not all(is_public(address) for address in addresses):
        raise blocked(f"{host} is not at a public address")


def is_public(address: str) -> bool:
    """Returns whether anybody on the internet may reach the IP address, and it is no tunnel to another.

    Follows the special-purpose address registries of RFC 6890. False for a text that is no IP address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in network for network in _BLOCKED_NETWORKS)


def is_literal(host: str) -> bool:
    """Returns whether an origin's host is an IP address, which needs no look-up."""
    return literal(host) is not None


def literal(host: str) -> str | None:
    """Returns the IP address that the C library reads from `host` without a look-up; None for a name.

    The C library also reads short and hexadecimal forms, such as 127.1 and 0x7f.1.
    """
    if ":" in host:
        return host
    if not NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
