"""The only way from an address that a user gave us to the network.

`requests`, with the connection itself replaced: one look-up for each connection, all its answers judged,
and a socket opened to one of those very answers, so that a name cannot answer otherwise the second
time. Host header, SNI and certificate check keep the name, since nothing of the request is rewritten.
(`requests-hardened` looks up through `socket.getaddrinfo` alone, judges the first answer only, and
rewrites the host; its place in the adapter lies too high for a pinned socket.)
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPException, IncompleteRead
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import create_urllib3_context

from common import interruptible
from common.addresses import (
    AddressPolicy,
    Origin,
    check_characters,
    check_public,
    invalid,
    parse_origin,
    validate_text,
)
from common.deadline import DeadlineExceeded, Pulse
from common.errors import ErrorCode, PermanentError

log = logging.getLogger(__name__)

USER_AGENT = "uvr-api"
MAX_REDIRECTS = 5
_MAX_RETRY_AFTER_S = 7 * 24 * 3600.0

Resolver = Callable[[str, int], Sequence[str]]
# IP addresses, port, seconds, pulse: a socket connected to one of the addresses, see `interruptible.connect`.
Connector = Callable[[Sequence[str], int, float, Pulse], socket.socket]


def system_resolver(host: str, port: int) -> list[str]:
    """The IP addresses of `host`, best first. Raises OSError, UnicodeError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


@dataclass(frozen=True)
class Network:
    """How a service reaches users' addresses. `ca_file` replaces the public certificate authorities."""

    policy: AddressPolicy
    resolve: Resolver = system_resolver
    ca_file: str | None = None
    connect: Connector = interruptible.connect


class GuardedSession(requests.Session):
    """One exchange's session: make it, use it, close it. `pulse` may end it at any time by raising.

    Requests raise PermanentError for addresses that are refused, and what `requests` raises. No proxy,
    netrc or certificate setting comes from the environment; no redirect is followed by itself.
    """

    def __init__(self, network: Network, pulse: Pulse):
        super().__init__()
        self.trust_env = False
        self.verify = network.ca_file or True
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "identity"
        self._policy = network.policy
        adapter = _GuardedAdapter(network, pulse)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # Before `requests` parses it: its own errors repeat the whole address, query included.
        validate_text(request.url, self._policy)
        try:
            return super().prepare_request(request)
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError, UnicodeError):
            raise invalid("its host cannot be used") from None

    def send(self, request: requests.PreparedRequest, **kwargs) -> requests.Response:
        validate_text(request.url, self._policy)
        return super().send(request, **kwargs)

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
            url = _join(url, target)
        raise PermanentError(ErrorCode.HTTP_ERROR, f"HTTP error: more than {MAX_REDIRECTS} redirects")


def _join(url: str, target: str) -> str:
    # Header bytes reach us as latin-1; servers send UTF-8.
    text = target.encode("latin-1").decode("utf-8", "replace")
    check_characters(text)  # `urljoin` silently drops tabs and line ends
    try:
        return urljoin(url, text)
    except ValueError:
        raise invalid("a redirect leads to what is no address") from None


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, network: Network, pulse: Pulse):
        self._network, self._pulse = network, pulse
        self._context: ssl.SSLContext | None = None
        super().__init__()

    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        guard = {"network": self._network, "pulse": self._pulse}
        plain = type("Connection", (_GuardedConnection, urllib3.connection.HTTPConnection), guard)
        tls = type("TLSConnection", (_GuardedConnection, urllib3.connection.HTTPSConnection), guard)
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
            interruptible.interrupt_tls(self._context, self._pulse)
        return self._context


class _GuardedConnection:
    """Mixed into urllib3's connections: what is checked here is what is connected to."""

    network: Network
    pulse: Pulse

    def _new_conn(self) -> socket.socket:
        host = f"[{self.host}]" if ":" in self.host else self.host
        origin = parse_origin(f"{_scheme(self)}://{host}:{self.port}")
        trusted = self.network.policy.check_origin(origin)
        timeout_s = self.timeout or socket.getdefaulttimeout() or 30.0
        end_s = time.monotonic() + timeout_s
        try:
            addresses = _look_up(self.network.resolve, origin, timeout_s, type(self).pulse)
            log.debug("%s is at %s", origin.host, ", ".join(addresses))
            if not trusted:
                check_public(addresses, origin.host)
            left_s = end_s - time.monotonic()
            return self.network.connect(addresses, origin.port, left_s, type(self).pulse)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


def _scheme(connection: urllib3.connection.HTTPConnection) -> str:
    return "https" if isinstance(connection, urllib3.connection.HTTPSConnection) else "http"


def _look_up(resolve: Resolver, origin: Origin, timeout_s: float, pulse: Pulse) -> Sequence[str]:
    """Waits for `resolve` in slices. Raises OSError, TimeoutError, what `pulse` raises."""
    # The C library's look-up cannot be interrupted; left behind, it ends by its own time-outs.
    answers: list[Sequence[str]] = []
    failures: list[OSError] = []
    finished = threading.Event()

    def work() -> None:
        try:
            answers.append(resolve(origin.host, origin.port))
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            finished.set()

    threading.Thread(target=work, name="look-up", daemon=True).start()
    end_s = time.monotonic() + timeout_s
    while not finished.wait(interruptible.SLICE_S):
        pulse()
        if time.monotonic() >= end_s:
            raise TimeoutError(f"the name {origin.host} was not looked up in time")
    if not answers or not answers[0]:
        raise failures[0] if failures else OSError(f"the name {origin.host} has no address")
    return answers[0]


# What a guarded exchange may raise beside JobError and what the caller's own `check` raises.
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, DeadlineExceeded)


def is_timeout(error: Exception) -> bool:
    """Whether one wait took too long (not the whole: that is DeadlineExceeded)."""
    return isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))


def reason(error: BaseException) -> str:
    """What went wrong, in a few words, without the address: its query may hold a secret."""
    told: BaseException | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, HTTPException)) and not isinstance(cause, requests.RequestException):
            told = cause
        cause = cause.__cause__ or cause.__context__
    match told:
        case None:
            return type(error).__name__
        case IncompleteRead():
            return "the answer ended too early"
        case BadStatusLine() if not isinstance(told, OSError):
            return "the answer is not HTTP"
        case _:
            return printable((isinstance(told, OSError) and told.strerror) or str(told), 200)


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
