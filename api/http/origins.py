"""Decides for which hosts the api answers, and which web pages may use it."""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address, ip_address

from common.errors import PermanentError
from common.outbound.addresses import Origin, parse_origin
from common.settings.schema import ApiSettings

# An api has few names. A stranger's name is as long as a head may be.
_CACHED_NAMES = 64
# A Host header: a host, and perhaps a port.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\]|[A-Za-z0-9._-]+)(?::\d{0,5})?", re.ASCII)
_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]*", re.ASCII)


@dataclass(frozen=True)
class HostRule:
    """The names under which the api answers. IP addresses and localhost are always allowed.

    DNS rebinding is possible with names only: an attacker can let a name point to our address. `names` is
    None where every name is allowed; `suffixes` begin with a dot.
    """

    names: frozenset[str] | None = None
    suffixes: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: ApiSettings) -> "HostRule":
        """Take the names in ALLOWED_HOSTS. Without them, an api that others can reach allows every name."""
        given = settings.allowed_hosts
        if "*" in given or (not given and not is_loopback(settings.api_host, settings.api_port)):
            return cls()
        wildcards = tuple(name.removeprefix("*") for name in given if name.startswith("*."))
        return cls(frozenset(given), wildcards)

    def allows(self, host: str) -> bool:
        """Return whether a request with this Host header, or forwarded host, is for us."""
        if self.names is None:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().removesuffix(".")
        if _is_ip(name) or name == "localhost" or name.endswith(".localhost"):
            return True
        return name in self.names or name.endswith(self.suffixes)


def is_loopback(host: str, port: int) -> bool:
    """Return whether an api that listens on `host` can be reached from this machine alone."""
    try:
        return ip_address(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]).is_loopback
    except (OSError, ValueError):  # the listener reports what is wrong with the host
        return False


def is_own(origin: str, hosts: Iterable[str]) -> bool:
    """Return whether a page of `origin` comes from one of `hosts`, which are Host headers."""
    page = parsed(origin)
    return page is not None and any(parsed(f"{page.scheme}://{host}") == page for host in hosts)


def parsed(origin: str) -> Origin | None:
    """Return the origin with its port, in a uniform spelling; None for `null` and for other text."""
    try:
        return parse_origin(origin)
    except PermanentError:
        return None


@lru_cache(_CACHED_NAMES)
def _is_ip(name: str) -> bool:
    """Return whether `name` is an IP address, even in a spelling such as 127.1 or 0x7f000001."""
    if name.startswith("["):
        try:
            IPv6Address(name[1:-1].partition("%")[0])
        except AddressValueError:
            return False
        return True
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return False
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True
