"""Decides which addresses from users we connect to, by their text and without any I/O.

The api refuses an address that is wrong by its text alone. `common.outbound.guarded_session` applies the same
policy again to the host and port of each connection, so that no difference between two parsers opens a way
in.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from common.errors import PermanentError
from common.outbound.ip_addresses import NUMBER, check_public, literal
from common.outbound.refusals import blocked, invalid

MAX_URL_CHARACTERS = 4096
_CACHED_HOSTS = 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
# Most addresses. They are shown as they are, and need not be taken apart and put together again.
_WITHOUT_SECRETS = re.compile(r"https?://(?P<netloc>[a-z0-9.-]+(:[0-9]+)?)(/[\w.~%+,=/-]*)?", re.ASCII)
_BRACKETED = re.compile(r"\[[^\[\]]*\](:.*)?")


class Origin(NamedTuple):
    """The other end of a connection. `host` is in lower case, without brackets or a final dot."""

    scheme: str
    host: str
    port: int


class AddressSettings(Protocol):
    """The settings that a policy is made of."""

    allowed_url_ports: tuple[int, ...]
    trusted_url_prefixes: tuple[str, ...]


@dataclass(frozen=True)
class AddressPolicy:
    """The operator's rules. Only `trusted` origins skip the rules on ports and IP addresses."""

    allowed_ports: frozenset[int]
    trusted: frozenset[Origin] = frozenset()

    @classmethod
    def from_settings(cls, settings: AddressSettings) -> "AddressPolicy":
        """Makes the policy of a service. Raises ValueError for a trusted prefix that is no origin."""
        trusted = frozenset(_trusted_origin(prefix) for prefix in settings.trusted_url_prefixes)
        return cls(frozenset(settings.allowed_url_ports), trusted)

    def check_origin(self, origin: Origin) -> bool:
        """Returns whether the origin is trusted, so that any IP address will do. Raises PermanentError."""
        if origin in self.trusted:
            return True
        if origin.port not in self.allowed_ports:
            ports = ", ".join(map(str, sorted(self.allowed_ports)))
            raise blocked(f"port {origin.port} is not one of the allowed ports ({ports})")
        return False


def validate_text(url: str, policy: AddressPolicy) -> None:
    """Refuses an address whose text is wrong. Raises PermanentError (address_invalid, address_blocked).

    Looks up no names. The error's message holds no more of the URL than its host.
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
    """Reads scheme, host and port of an address. Raises PermanentError (address_invalid)."""
    if len(url) > MAX_URL_CHARACTERS:
        raise invalid(f"it is longer than {MAX_URL_CHARACTERS} characters")
    check_characters(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text repeats the user name and password
        raise invalid("its host cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise invalid("it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise invalid("it must not hold a user name or password")
    if "\\" in url:
        raise invalid("it must not hold a backslash")
    return _origin(parts.scheme, parts.netloc)


@lru_cache(_CACHED_HOSTS)
def _origin(scheme: str, netloc: str) -> Origin:
    """Most songs and callbacks of a user share a host. Raises PermanentError (address_invalid)."""
    parts = SplitResult(scheme, netloc, "", "", "")
    return Origin(scheme, _host(parts), _port(parts))


def without_secrets(url: str) -> str | None:
    """Returns the address as others may see it: without query, fragment, user and password.

    Returns None for any other text than an http or https address, since its secrets cannot be found.
    """
    if _WITHOUT_SECRETS.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return None
    return parts._replace(netloc=host, query="", fragment="").geturl()


def host_of(url: str) -> str | None:
    """Returns the host of an http or https address, with the port if the address names one; else None."""
    if plain := _WITHOUT_SECRETS.fullmatch(url):
        return plain["netloc"]
    shown = without_secrets(url)
    return None if shown is None else urlsplit(shown).netloc


def check_characters(text: str) -> None:
    """Refuses characters that a parser might drop silently. Raises PermanentError (address_invalid)."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return
    if text != text.strip() or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        raise invalid("it holds control characters, or spaces around it")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc or "]" in parts.netloc:
        if not _BRACKETED.fullmatch(parts.netloc):  # older Pythons ignore text around the brackets
            raise invalid("its host cannot be read")
        return _ipv6(host)
    # IDNA turns full-width digits and ideographic dots into plain ones, as it will where the name is used.
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
    # An empty port ("http://host:/") means the default port. Port 0 is an error.
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
