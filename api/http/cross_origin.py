"""Keeps web pages of other sites from using the api through the browser of a signed-in user.

A browser sends a page's request to any address. It adds the password that it has stored for that address, or
a password that the page has put into the address. Three headers reveal such a request: `Sec-Fetch-Site` says
how page and address belong together, `Origin` where the page is from, and `Host` which name the browser asked
for. Programs such as curl do not send the first two, and are not affected.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.http.headers import headers_of
from api.http.origins import HostRule, is_own, parsed
from api.problems import problem
from common.settings.schema import ApiSettings

# They show no user's data, and orchestrators ask for them by a pod's address or by a service's name.
_PROBES = ("/health", "/livez", "/readyz", "/metrics")
# Anybody may read these pages, and other sites may link to them.
_PAGES = ("/", "/docs", "/openapi.json")
_FORWARDED_HOST = "uvr.forwarded_host"
_ALLOWED_METHODS = "GET, HEAD, POST, DELETE"
_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Request-Id"
_EXPOSED_HEADERS = "Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
_PREFLIGHT_MAX_AGE_S = 600
# This machine has few addresses.
_CACHED_ADDRESSES = 64


class CrossOrigin:
    """Answers 403 to requests for other hosts and to requests of other sites' pages.

    Pages of the origins in CORS_ORIGINS may do what their users may do.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings):
        self._app = app
        self._hosts = HostRule.from_settings(settings)
        self._names_are_given = bool(settings.allowed_hosts)
        self._friends = frozenset(map(parsed, settings.cors_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        origins = headers.getlist("Origin")
        is_friend = len(origins) == 1 and parsed(origins[0]) in self._friends
        if is_friend:
            send = _readable_by(origins[0], send)
        answer = self._refusal(scope, headers, origins, is_friend)
        if answer is None and is_friend and _is_preflight(scope, headers):
            answer = _preflight()
        await (answer or self._app)(scope, receive, send)

    def _refusal(
        self, scope: Scope, headers: Headers, origins: list[str], is_friend: bool
    ) -> Response | None:
        if scope["path"] in _PROBES:
            return None
        hosts, forwarded = headers.getlist("Host"), scope.get(_FORWARDED_HOST, ())
        if not self._is_for_us(scope, hosts, forwarded):
            return problem(
                403,
                "The api does not answer for this host: use its address, or name the host in ALLOWED_HOSTS",
                "host_not_allowed",
            )
        if is_friend or _is_ours(headers, origins, (*hosts, *forwarded)) or _leads_to_page(scope, headers):
            return None
        return problem(
            403,
            "The request comes from a web page of another site: name its origin in CORS_ORIGINS if it may "
            "use the api; behind a proxy, hand on Host or X-Forwarded-Host",
            "cross_origin",
        )

    def _is_for_us(self, scope: Scope, hosts: Iterable[str], forwarded: Iterable[str]) -> bool:
        if self._names_are_given:
            # ALLOWED_HOSTS has the names that clients use. A proxy may have moved them to its own header.
            return all(map(self._hosts.allows, (*hosts, *forwarded)))
        return not _is_over_loopback(scope) or all(map(self._hosts.allows, hosts))


class BehindProxy(ProxyHeadersMiddleware):
    """Takes the client and the host of a request from the headers of the proxies in FORWARDED_ALLOW_IPS."""

    # uvicorn and starlette describe the same ASGI calls by different types.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        if scope["type"] == "http" and scope.get("client") and scope["client"][0] in self.trusted_hosts:
            given = Headers(scope=scope).getlist("X-Forwarded-Host")
            # Each proxy of a chain appends the host that it was asked for.
            names = [name.strip() for value in given for name in value.split(",")]
            scope = {**scope, _FORWARDED_HOST: tuple(filter(None, names))}
        await super().__call__(scope, receive, send)  # type: ignore[arg-type]  # as above


def _is_over_loopback(scope: Scope) -> bool:
    """Return whether the api's end of the connection is a loopback address."""
    host, _ = scope.get("server") or ("", 0)
    return _is_loopback_address(host)


@lru_cache(_CACHED_ADDRESSES)
def _is_loopback_address(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name or a path: not one of our servers
        return False


def _is_ours(headers: Headers, origins: Iterable[str], hosts: tuple[str, ...]) -> bool:
    """Return whether the request comes from no page, or from one of our own pages."""
    sites = headers.getlist("Sec-Fetch-Site")
    # `none` stands for a request by the user: a typed address or a bookmark.
    if any(site not in ("same-origin", "none") for site in sites):
        return False
    # Our own pages' forms send `Origin: null`, because our referrer policy hides the origin.
    hidden = ("null",) if "same-origin" in sites else ()
    return all(origin in hidden or is_own(origin, hosts) for origin in origins)


def _leads_to_page(scope: Scope, headers: Headers) -> bool:
    """Return whether the user has followed a link to a page that anybody may read."""
    return (
        scope["path"] in _PAGES
        and scope["method"] in ("GET", "HEAD")
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and "Origin" not in headers
    )


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "Access-Control-Request-Method" in headers


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": _ALLOWED_METHODS,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(_PREFLIGHT_MAX_AGE_S),
        },
    )


def _readable_by(origin: str, send: Send) -> Send:
    """Let a page of `origin` read the answer."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            # An EventSource cannot set headers: it signs in with the credentials that the browser has stored.
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_headers
