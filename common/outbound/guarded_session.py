"""Sends requests to addresses that users gave. No other module connects to them.

The session is one of `requests` with its connections replaced. Each connection looks its host up once, checks
every answer, and opens its socket to one of those answers: a second look-up could answer otherwise. The Host
header, SNI and the certificate check keep the name. The request line asks for the path and query as they were
given (`common.outbound.request_target`). We do not use `requests-hardened`: it looks up through
`socket.getaddrinfo` alone, checks only the first answer, and rewrites the host. It works in the adapter,
which is too high for a pinned socket.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from common.outbound.addresses import AddressPolicy, Origin, parse_origin, validate_text
from common.outbound.ip_addresses import is_literal
from common.outbound.look_up import Resolver, look_up, public_addresses, system_resolver
from common.outbound.own_address import same_end
from common.outbound.refusals import invalid, own_address, unusable_name
from common.outbound.request_target import redirect_url, request_target
from common.waiting import StopCheck

log = logging.getLogger(__name__)

USER_AGENT = "uvr-api"
MAX_REDIRECTS = 5

# Connects to one of the IP addresses, on a port, within seconds. See `sockets.connect`.
Connector = Callable[[Sequence[str], int, float, StopCheck], socket.socket]


@dataclass(frozen=True)
class OutboundNetwork:
    """The rules and the means by which a service reaches users' addresses.

    `ca_file` holds certificate authorities that count beside the public ones, in PEM format.
    `look_up.public_addresses` explains `refusal_step_s`.
    """

    policy: AddressPolicy
    resolve: Resolver = system_resolver
    ca_file: str | Path | None = None
    connect: Connector = sockets.connect
    refusal_step_s: float = sockets.SLICE_S


class GuardedSession(requests.Session):
    """A session for one exchange: make it, use it, close it. `stop_check` ends the exchange by raising.

    A request raises PermanentError for an address that is refused, and the errors of `requests`.
    The environment sets no proxy, netrc or certificate. Only `get_following` follows redirects.
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
        # Before `requests` parses the address: its errors repeat all of it, with the query.
        url = str(request.url)
        validate_text(url, self._policy)
        self._adapter.target = request_target(url)
        try:
            return super().prepare_request(request)
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError, UnicodeError):
            raise invalid("its host cannot be used") from None

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Returns None, so that `requests` follows no redirect: it would first read all of the body."""

    def get_following(
        self, url: str, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """GETs `url` through at most 5 redirects, each checked like `url` itself. Does not read the body."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self.get(url, stream=True, timeout=timeout_s, headers=headers)
            target = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not target:
                return response
            response.close()
            url = redirect_url(url, target)
        raise PermanentError(ErrorCode.HTTP_ERROR, f"HTTP error: more than {MAX_REDIRECTS} redirects")


class _GuardedAdapter(HTTPAdapter):
    """Makes guarded connections. Their request line asks for `target`, which nothing rewrites."""

    def __init__(self, network: OutboundNetwork, stop_check: StopCheck):
        self.network, self.stop_check, self.target = network, stop_check, "/"
        self._context: ssl.SSLContext | None = None
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        guard = {"adapter": self}
        plain = type("Connection", (_GuardedConnection,), guard)
        tls = type("TLSConnection", (_GuardedConnection, HTTPSConnection), guard)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TLSPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        cert: str | tuple[str, str] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
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
    """A connection of urllib3 that connects to the very IP addresses that were checked."""

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
    """Connects to an origin if the policy allows that.

    Raises JobError, OSError, TimeoutError, and the errors of `stop_check`.
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
