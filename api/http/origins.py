"""Which hosts the api answers for, and which web pages may use it: rules on text, without any I/O."""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address, ip_address

from common.errors import PermanentError
from common.outbound.addresses import Origin, parse_origin
from common.settings.schema import ApiSettings

# A host and a port as they stand in a Host header; nothing else may stand around them.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\]|[A-Za-z0-9._-]+)(?::\d{0,5})?", re.ASCII)
_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]*", re.ASCII)


@dataclass(frozen=True)
class HostRule:
    """The names that the api may be asked by. An IP address and localhost are always allowed.

    A page can only point a name at our address (DNS rebinding), never an IP address. `names` is None where
    every name is allowed; `suffixes` begin with a dot.
    """

    names: frozenset[str] | None = None
    suffixes: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: ApiSettings) -> "HostRule":
        """The names of ALLOWED_HOSTS. Without any, an api that others can reach takes every name."""
        given = settings.allowed_hosts
        if "*" in given or (not given and not is_loopback(settings.api_host, settings.api_port)):
            return cls()
        wildcards = tuple(name.removeprefix("*") for name in given if name.startswith("*."))
        return cls(frozenset(given), wildcards)

    def allows(self, host: str) -> bool:
        """Whether a request with this Host header, or forwarded host, is for us."""
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
    """Whether an api that listens on `host` can be reached from this machine alone."""
    try:
        return ip_address(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]).is_loopback
    except (OSError, ValueError):  # the listener says what is wrong with it
        return False


def is_own(origin: str, hosts: Iterable[str]) -> bool:
    """Whether a page of `origin` came from one of `hosts`, which are Host headers without a scheme."""
    page = parsed(origin)
    return page is not None and any(parsed(f"{page.scheme}://{host}") == page for host in hosts)


def parsed(origin: str) -> Origin | None:
    """The origin with its port and in one spelling; None for `null` and what else is no origin of a page."""
    try:
        return parse_origin(origin)
    except PermanentError:
        return None


def _is_ip(name: str) -> bool:
    """Also where it is written as the C library alone reads it: 127.1, 0x7f000001."""
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
