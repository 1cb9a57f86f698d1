"""The only way from an address that a user gave us to the network.

`requests`, with the connection itself replaced: one look-up for each connection, all its answers judged,
and a socket opened to one of those very answers, so that a name cannot answer otherwise the second
time. Host header, SNI and certificate check keep the name, and the request line asks for the path and query
as they were given (`common.outbound.request_target`).
(`requests-hardened` looks up through `socket.getaddrinfo` alone, judges the first answer only, and
rewrites the host; its place in the adapter lies too high for a pinned socket.)
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import create_urllib3_context

from common.errors import ErrorCode, PermanentError
from common.outbound import sockets
from common.outbound.addresses import (
    AddressPolicy,
    Origin,
    invalid,
    is_literal,
    own_address,
    parse_origin,
    unusable_name,
    validate_text,
)
from common.outbound.look_up import Resolver, look_up, public_addresses, system_resolver
from common.outbound.own_address import same_end
from common.outbound.request_target import redirect_url, request_target
from common.waiting import DeadlineExceeded, StopCheck

log = logging.getLogger(__name__)

USER_AGENT = "uvr-api"
MAX_REDIRECTS = 5
# OpenSSL's codes for a certificate that no authority known here has signed.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_MAX_RETRY_AFTER_S = 7 * 24 * 3600.0

# Connects to one of the IP addresses, on a port, within seconds. See `sockets.connect`.
Connector = Callable[[Sequence[str], int, float, StopCheck], socket.socket]


@dataclass(frozen=True)
class OutboundNetwork:
    """How a service reaches users' addresses.

    `ca_file` holds certificate authorities that count beside the public ones. `refusal_step_s`: see
    `look_up.public_addresses`.
    """

    policy: AddressPolicy
    resolve: Resolver = system_resolver
    ca_file: str | Path | None = None
    connect: Connector = sockets.connect
    refusal_step_s: float = sockets.SLICE_S


class GuardedSession(requests.Session):
    """One exchange's session: make it, use it, close it. `stop_check` may end it at any time by raising.

    Requests raise PermanentError for addresses that are refused, and what `requests` raises. No proxy,
    netrc or certificate setting comes from the environment; no redirect is followed by itself.
    """

    def __init__(self, network: OutboundNetwork, stop_check: StopCheck):
        super().__init__()
        self.trust_env = False
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "identity"
        self._policy = network.policy
        self._adapter = _GuardedAdapter(network, stop_check)
        self.mount("http://", self._adapter)
        self.mount("https://", self._adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # Before `requests` parses it: its own errors repeat the whole address, query included.
        url = str(request.url)
        validate_text(url, self._policy)
        self._adapter.target = request_target(url)
        try:
            return super().prepare_request(request)
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError, UnicodeError):
            raise invalid("its host cannot be used") from None

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, so that `requests` follows nothing: it would read a redirect's body first, however long."""

    def get_following(self, url: str, timeout_s: float) -> requests.Response:
        """GETs `url` through at most 5 redirects, each checked like the first. The body is not read."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self.get(url, stream=True, timeout=timeout_s)
            target = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not target:
                return response
            response.close()
            url = redirect_url(url, target)
        raise PermanentError(ErrorCode.HTTP_ERROR, f"HTTP error: more than {MAX_REDIRECTS} redirects")


class _GuardedAdapter(HTTPAdapter):
    """`target` is what the request line asks for, in place of the one that `requests` and urllib3 rewrite."""

    def __init__(self, network: OutboundNetwork, stop_check: StopCheck):
        self.network, self.stop_check, self.target = network, stop_check, "/"
        self._context: ssl.SSLContext | None = None
        super().__init__()

    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        guard = {"adapter": self}
        plain = type("Connection", (_GuardedConnection,), guard)
        tls = type("TLSConnection", (_GuardedConnection, HTTPSConnection), guard)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TLSPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool["ssl_context"] = self._tls_context()
        return host, pool

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = create_urllib3_context()
            if self.network.ca_file:
                self._context.load_verify_locations(self.network.ca_file)
            sockets.interrupt_tls(self._context, self.stop_check)
        return self._context


class _GuardedConnection(HTTPConnection):
    """Mixed into urllib3's connections: what is checked here is what is connected to."""

    adapter: _GuardedAdapter

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, self.adapter.target, *args, **kwargs)

    def _new_conn(self) -> socket.socket:
        host = f"[{self.host}]" if ":" in self.host else self.host
        origin = parse_origin(f"{_scheme(self)}://{host}:{self.port}")
        timeout_s = self.timeout or socket.getdefaulttimeout() or 30.0
        try:
            return _open(origin, self.adapter.network, timeout_s, self.adapter.stop_check)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


def _open(origin: Origin, network: OutboundNetwork, timeout_s: float, stop_check: StopCheck) -> socket.socket:
    """Connects to an origin, where the policy allows it.

    Raises JobError, OSError, TimeoutError, what `stop_check` raises.
    """
    end_s = time.monotonic() + timeout_s
    trusted = network.policy.check_origin(origin)
    if trusted:
        addresses = look_up(network.resolve, origin, timeout_s, stop_check)
    else:
        addresses = public_addresses(network.resolve, origin, timeout_s, stop_check, network.refusal_step_s)
    log.debug("%s is at %s", origin.host, ", ".join(addresses))
    sock = network.connect(addresses, origin.port, end_s - time.monotonic(), stop_check)
    if not trusted and same_end(sock, addresses):
        sock.close()
        log.warning("%s is refused: both ends of the connection have the same address", origin.host)
        raise own_address(origin.host) if is_literal(origin.host) else unusable_name(origin.host)
    return sock


def _scheme(connection: HTTPConnection) -> str:
    return "https" if isinstance(connection, HTTPSConnection) else "http"


# What a guarded exchange may raise beside JobError and what the caller's own `check` raises.
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, DeadlineExceeded)


def is_timeout(error: Exception) -> bool:
    """Whether one wait took too long (not the whole: that is DeadlineExceeded)."""
    return isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))


def is_bad_certificate(error: BaseException) -> bool:
    """Whether the host's certificate was refused, such as one that has expired or is for another name."""
    return isinstance(_root_of(error), ssl.SSLCertVerificationError)


def reason(error: BaseException) -> str:
    """What went wrong, in a few words, without the address: its query may hold a secret."""
    match _root_of(error):
        case None:
            return type(error).__name__
        case IncompleteRead():
            return "the answer ended too early"
        case BadStatusLine() as told if not isinstance(told, OSError):
            return "the answer is not HTTP"
        case ssl.SSLCertVerificationError() as told:
            return _about_certificate(told)
        case told:
            return printable((isinstance(told, OSError) and told.strerror) or str(told), 200)


def _root_of(error: BaseException) -> OSError | HTTPException | None:
    """The first cause, of those that say what happened on the network."""
    root: OSError | HTTPException | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, HTTPException)) and not isinstance(cause, requests.RequestException):
            root = cause
        cause = cause.__cause__ or cause.__context__
    return root


def _about_certificate(refused: ssl.SSLCertVerificationError) -> str:
    why = printable(refused.verify_message, 200).rstrip(".")
    told = f"the host's certificate is refused: {why}"
    if refused.verify_code in _UNKNOWN_AUTHORITY:
        told += ". The operator can name a private authority in OUTBOUND_CA_FILE"
    return told


def printable(text: str, limit: int) -> str:
    """The beginning of what a server said, for a log or a message: a header may hold line ends."""
    return "".join(c if c.isprintable() else "�" for c in text[:limit])


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or a date, at most a week. None if it does not."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _MAX_RETRY_AFTER_S)
