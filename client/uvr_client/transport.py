"""Sends requests to the api, and retries those that are safe to repeat."""

import re
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from uvr_client.answers import raise_for_status
from uvr_client.errors import RequestError, Unavailable, Unreachable, UvrError
from uvr_client.version import __version__

# Requests to this machine bypass the proxy that the environment names.
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")
_KEY = re.compile(r"uvr_[A-Za-z0-9_-]{1,200}")
# After these errors nothing was sent.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Repeat(Enum):
    """Says when a failed request may be sent again."""

    ANY = auto()  # always: it changes nothing, or a second one has no further effect
    UNSENT = auto()  # only when the request cannot have reached the api
    NEVER = auto()  # the request is a courtesy, and nobody need wait for it


@dataclass(frozen=True)
class Patience:
    """Limits the tries of a request and sets the pauses between them.

    `tell` is called with each error that a retry follows, and the seconds until the retry. `say` is called
    with what else takes time before a call returns. `outage_s` is how long a stream of events may give no
    sign of life before its follower raises the error.
    """

    tries: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    outage_s: float = 120.0
    tell: Callable[[UvrError, float], None] = lambda error, pause_s: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = lambda text: None

    def pauses_s(self) -> Iterator[float]:
        """Yields pauses without end; each is twice the one before, up to `longest_pause_s`."""
        pause_s = self.first_pause_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, self.longest_pause_s)

    def lengthened_s(self, pause_s: float, asked_s: float | None) -> float:
        """Returns the pause that the store asks for if it is longer, but at most `longest_pause_s`.

        A transfer of hours is worth a try that comes too early; the api's request is not, see `pause`.
        """
        return max(pause_s, min(asked_s or 0.0, self.longest_pause_s))

    def pause(self, error: UvrError, pause_s: float) -> None:
        """Sleeps for `pause_s`, or for the Retry-After of `error` if that is longer.

        Raises `error` when the Retry-After exceeds `longest_pause_s`.
        """
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, RequestError) else 0.0
        if asked_s > self.longest_pause_s:
            raise error
        pause_s = max(pause_s, asked_s)
        self.tell(error, pause_s)
        self.sleep(pause_s)


class _KeyAuth(httpx.Auth):
    """Sends a key as a bearer token (RFC 6750)."""

    def __init__(self, key: str):
        self._header = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


def sign_in(username: str, password: str, key: str | None) -> httpx.Auth:
    """Returns what signs requests in. Raises ValueError, which names no secret, for what cannot be sent."""
    if key is not None:
        if username or password:
            raise ValueError("expected a key, or a user name and a password, not both")
        if not _KEY.fullmatch(key):
            raise ValueError("expected a key, which begins with uvr_")
        return _KeyAuth(key)
    if ":" in username:
        raise ValueError("expected a user name without a colon")
    try:
        return httpx.BasicAuth(username, password)
    except UnicodeEncodeError:
        raise ValueError("expected a user name and a password in UTF-8") from None


class Transport:
    """Connects to one api. Threads may share it."""

    def __init__(self, base_url: str, auth: httpx.Auth, timeout_s: float, patience: Patience) -> None:
        """Raises ValueError when `base_url` is invalid, and where `http_client` raises it."""
        self.base_url, self.patience, self._timeout_s = checked_url(base_url), patience, timeout_s
        self._http = http_client(timeout_s, auth)

    def request(self, method: str, path: str, repeat: Repeat, **options: Any) -> httpx.Response:
        """Returns a successful answer. Raises the last try's UvrError when no try succeeds."""
        pauses_s = self.patience.pauses_s()
        tries = 1 if repeat is Repeat.NEVER else self.patience.tries
        for _ in range(tries - 1):
            try:
                return self._once(method, path, options)
            except Unreachable as error:
                if repeat is not Repeat.ANY and not isinstance(error.__cause__, _UNSENT):
                    raise
                self.patience.pause(error, next(pauses_s))
            except Unavailable as error:
                if repeat is not Repeat.ANY:
                    raise
                self.patience.pause(error, next(pauses_s))
        return self._once(method, path, options)

    def stream(
        self, path: str, headers: Mapping[str, str], read_timeout_s: float
    ) -> AbstractContextManager[httpx.Response]:
        """Returns an answer whose body is still to be read. Raises httpx.RequestError."""
        timeout = httpx.Timeout(self._timeout_s, read=read_timeout_s)
        return self._http.stream("GET", self.base_url + path, headers=headers, timeout=timeout)

    def unreachable(self, error: httpx.RequestError) -> Unreachable:
        """Returns the exception for a request that got no answer."""
        return Unreachable(f"the api at {self.base_url} does not answer: {error_text(error)}")

    def close(self) -> None:
        self._http.close()

    def _once(self, method: str, path: str, options: Mapping[str, Any]) -> httpx.Response:
        try:
            response = self._http.request(method, self.base_url + path, **options)
        except httpx.RequestError as error:
            raise self.unreachable(error) from error
        raise_for_status(response)
        return response


@cache
def _tls() -> ssl.SSLContext:
    """Returns one shared context: reading the certificate authorities takes 0.1 s.

    SSL_CERT_FILE replaces the authorities.
    """
    return httpx.create_ssl_context()


def http_client(timeout_s: float, auth: httpx.Auth | None = None, **options: Any) -> httpx.Client:
    """Makes an HTTP client. Raises ValueError when the environment's proxy or certificates are invalid."""
    try:
        for name in ("http", "https", "all"):
            if proxy := getproxies().get(name):
                _check_host(proxy if "://" in proxy else f"http://{proxy}")
        return httpx.Client(
            auth=auth,
            verify=_tls(),
            timeout=timeout_s,
            headers={"User-Agent": f"uvr-client/{__version__}"},
            # The api closes a connection after 5 s of idleness: reusing one after 2 s at most avoids a race.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=2.0),
            mounts=dict.fromkeys(_LOOPBACK),
            **options,
        )
    except (ImportError, UnicodeError, httpx.InvalidURL) as error:
        raise ValueError(f"the environment's proxy cannot be used: {error}") from error
    except OSError as error:
        raise ValueError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error}") from error


def error_text(error: Exception) -> str:
    """Returns the error's message, or its type's name if the message is empty."""
    return str(error) or type(error).__name__


def _check_host(url: str) -> None:
    """Raises UnicodeError or httpx.InvalidURL for a host that cannot be one, such as a..b or 192.168.1.300.

    httpx and the resolver would raise them at each request.
    """
    httpx.URL(url).raw_host.decode().encode("idna")


def checked_url(base_url: str) -> str:
    """Returns the api's address without a slash at its end. Raises ValueError when it is invalid."""
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and (parts.port is None or parts.port > 0) and base_url.isprintable()
        _check_host(base_url)
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address:
        raise ValueError("expected the api's address, such as http://127.0.0.1:8000")
    if "@" in parts.netloc:
        raise ValueError("expected the api's address without a user name or password in it")
    if parts.query or parts.fragment:
        raise ValueError("expected the api's address without a query")
    return base_url.rstrip("/")
