"""Which addresses from users we connect to: rules on text and on IP addresses, without any I/O.

The api refuses what is wrong by its text alone; `common.outbound.guarded_session` applies the same policy
again to what a connection is really made to, so that no difference between two parsers opens a way in.
"""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from common.errors import ErrorCode, PermanentError, UnlikelyError

MAX_URL_CHARACTERS = 4096

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_BRACKETED = re.compile(r"\[[^\[\]]*\](:.*)?")

# Only 2000::/3 is given out as global unicast. With it fall ::/96, v4-mapped, NAT64 (64:ff9b::/32),
# fc00::/7, fe80::/10, fec0::/10 and multicast.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

# What `is_global` of this or an older Python lets through, though it leads inside or to another address.
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


class Origin(NamedTuple):
    """Where a connection goes. `host` in lower case, without brackets or a final dot."""

    scheme: str
    host: str
    port: int


class AddressSettings(Protocol):
    allowed_url_ports: tuple[int, ...]
    trusted_url_prefixes: tuple[str, ...]


@dataclass(frozen=True)
class AddressPolicy:
    """`trusted` origins skip the rules on ports and IP addresses, and nothing else does."""

    allowed_ports: frozenset[int]
    trusted: frozenset[Origin] = frozenset()

    @classmethod
    def from_settings(cls, settings: AddressSettings) -> "AddressPolicy":
        """Raises ValueError for a trusted prefix that is no origin."""
        trusted = frozenset(_trusted_origin(prefix) for prefix in settings.trusted_url_prefixes)
        return cls(frozenset(settings.allowed_url_ports), trusted)

    def check_origin(self, origin: Origin) -> bool:
        """True if the origin is trusted: its IP addresses need no check. Raises PermanentError."""
        if origin in self.trusted:
            return True
        if origin.port not in self.allowed_ports:
            ports = ", ".join(map(str, sorted(self.allowed_ports)))
            raise _blocked(f"port {origin.port} is not one of the allowed ports ({ports})")
        return False


def validate_text(url: str, policy: AddressPolicy) -> None:
    """Refuses what is wrong by its text alone. Raises PermanentError (address_invalid, address_blocked).

    Names are not looked up. The error's message never holds more of the URL than its host.
    """
    origin = parse_origin(url)
    if policy.check_origin(origin):
        return
    if origin.host == "localhost" or origin.host.endswith(".localhost"):
        raise _blocked(f"{origin.host} is this machine itself")
    literal = _literal(origin.host)
    if literal is not None:
        check_public([literal], origin.host)


def parse_origin(url: str) -> Origin:
    """Raises PermanentError (address_invalid)."""
    if len(url) > MAX_URL_CHARACTERS:
        raise invalid(f"it is longer than {MAX_URL_CHARACTERS} characters")
    check_characters(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # it repeats the part with the password
        raise invalid("its host cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise invalid("it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise invalid("it must not hold a user name or password")
    if "\\" in url:
        raise invalid("it must not hold a backslash")
    return Origin(parts.scheme, _host(parts), _port(parts))


def without_secrets(url: str) -> str | None:
    """The address as others may see it: without query, fragment, user and password.

    None for what is no http or https address, whose parts nobody can tell.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return None
    return parts._replace(netloc=host, query="", fragment="").geturl()


def host_of(url: str) -> str | None:
    """The address's host, with its port if it names one; None for what is no http or https address."""
    shown = without_secrets(url)
    return None if shown is None else urlsplit(shown).netloc


def check_characters(text: str) -> None:
    """Refuses what a parser of addresses might drop silently. Raises PermanentError (address_invalid)."""
    if text != text.strip() or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        raise invalid("it holds control characters, or spaces around it")


def check_public(addresses: Iterable[str], host: str) -> None:
    """Raises PermanentError (address_blocked) unless every one of `addresses` is public.

    One that is not is enough: an answer that mixes both is an attack or a mistake.
    """
    # The message goes to the user, so it does not tell what our own name servers answered.
    if not all(is_public(address) for address in addresses):
        raise _blocked(f"{host} is not at a public address")


def is_public(address: str) -> bool:
    """Whether the IP address is one that anybody on the internet may reach, and no tunnel to another.

    After the special-purpose address registries of RFC 6890. What is no IP address is not public either.
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
    """Whether the host of an origin is an IP address, which needs no look-up."""
    return _literal(host) is not None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc or "]" in parts.netloc:
        if not _BRACKETED.fullmatch(parts.netloc):  # older Pythons pass over what stands around the brackets
            raise invalid("its host cannot be read")
        return _ipv6(host)
    # Full-width digits and ideographic dots become plain ones here, as they do where the name is used.
    try:
        host = host.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        raise invalid("its host name cannot be encoded") from None
    labels = host.split(".")
    if len(host) > 253 or not all(_NAME.fullmatch(label) for label in labels):
        raise invalid("it has no host, or one that is not a name or an address")
    if _NUMBER.fullmatch(labels[-1]) and _literal(host) is None:
        raise invalid("its host is a number that is no address")
    return host


def _ipv6(host: str) -> str:
    if "%" in host:
        raise invalid("its address has a zone")
    try:
        return ipaddress.IPv6Address(host).compressed
    except ValueError:
        raise invalid("its host is no IPv6 address") from None


def _port(parts: SplitResult) -> int:
    # An empty port ("http://host:/") is the default one, a zero is not.
    try:
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        raise invalid("its port is not a number from 1 to 65535") from None
    if port == 0:
        raise invalid("its port is not a number from 1 to 65535")
    return port


def _literal(host: str) -> str | None:
    """The IP address that the C library would read from `host` without a look-up: 127.1, 0x7f.1 too."""
    if ":" in host:
        return host
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _trusted_origin(prefix: str) -> Origin:
    try:
        return parse_origin(prefix)
    except PermanentError as error:
        raise ValueError(f"TRUSTED_URL_PREFIXES: {prefix!r}: {error}") from None


def invalid(reason: str) -> PermanentError:
    """`reason` goes to the user."""
    return PermanentError(ErrorCode.ADDRESS_INVALID, f"The address is not valid: {reason}")


def unusable_name(host: str) -> UnlikelyError:
    """The same for a name that does not exist and for one that is not public: see `outbound.look_up`."""
    what = f"the name {host} does not exist, or is not at a public address"
    return UnlikelyError(ErrorCode.ADDRESS_BLOCKED, _blocked(what).message)


def own_address(host: str) -> PermanentError:
    """For an IP address, public or not, that this host has itself."""
    return _blocked(f"{host} is this machine itself")


def _blocked(reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.ADDRESS_BLOCKED,
        f"The address is blocked: {reason}. The operator can allow an origin in TRUSTED_URL_PREFIXES",
    )
