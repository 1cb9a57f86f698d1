"""Which addresses from users we connect to: rules on text and on IP addresses, without any I/O.

The api refuses what is wrong by its text alone; `common.outbound.guarded_session` applies the same policy
again to what a connection is really made to, so that no difference between two parsers opens a way in.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from common.errors import PermanentError
from common.outbound.ip_addresses import NUMBER, check_public, literal
from common.outbound.refusals import blocked, invalid

MAX_URL_CHARACTERS = 4096

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_BRACKETED = re.compile(r"\[[^\[\]]*\](:.*)?")


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
            raise blocked(f"port {origin.port} is not one of the allowed ports ({ports})")
        return False


def validate_text(url: str, policy: AddressPolicy) -> None:
    """Refuses what is wrong by its text alone. Raises PermanentError (address_invalid, address_blocked).

    Names are not looked up. The error's message never holds more of the URL than its host.
    """
    origin = parse_origin(url)
    if policy.check_origin(origin):
        return
    if origin.host == "localhost" or origin.host.endswith(".localhost"):
        raise blocked(f"{origin.host} is this machine itself")
    address = literal(origin.host)
    if address is not None:
        check_public([address], origin.host)


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
    if NUMBER.fullmatch(labels[-1]) and literal(host) is None:
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


def _trusted_origin(prefix: str) -> Origin:
    try:
        return parse_origin(prefix)
    except PermanentError as error:
        raise ValueError(f"TRUSTED_URL_PREFIXES: {prefix!r}: {error}") from None
