"""HTTP Basic authentication (RFC 7617) and keys, decided before anything of the body is read.

The console signs in by a session's cookie instead. Its requests carry a header that no page of another origin
can set, and that programs do not send: nothing changes for requests without the header and the cookie.
"""

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastapi import Request

from api.auth.bearer import BearerAuth, key_in, scope_missing, wrong_key
from api.auth.caller import Caller, Scope, scope_for
from api.auth.rules import RulesFile
from api.auth.session_key import session_key
from api.auth.sessions import Sessions
from api.auth.sign_in import Pair, SignIn, TooManySignIns
from api.auth.users import read_users
from api.limiter import FailureLimiter
from api.metrics import ApiMetrics, SignInRefusal
from api.problems import ProblemError
from api.request_key import note_key
from common.settings.schema import ApiSettings

CHALLENGE = {"WWW-Authenticate": 'Basic realm="UVR API", charset="UTF-8"'}
COOKIE = "uvr_session"
PAGE_HEADER = "X-UVR-CSRF"
_CHANGES_NOTHING = ("GET", "HEAD")


class BasicAuth:
    """Finds out which user sends a request. A client that failed too often is refused whatever it sends.

    Only wrong credentials count as failures: a request without credentials guesses nothing.
    """

    def __init__(self, settings: ApiSettings, clock: Callable[[], float], metrics: ApiMetrics):
        """Raise ValueError for a file of users, keys or limits that is wrong."""
        self._metrics, self._admins = metrics, frozenset(settings.admin_usernames)
        self.rules = RulesFile(settings)
        self._bearer = BearerAuth(settings)
        self._sign_in = make_sign_in(settings, clock)
        self._limiter = FailureLimiter(settings.auth_failures_per_minute, clock)
        self.sessions = Sessions(lambda: session_key(settings), self._sign_in.credential_of)

    async def user_of(self, request: Request) -> str:
        """Return the user's name. Raise what `caller_of` raises."""
        return (await self.caller_of(request)).user

    async def caller_of(self, request: Request) -> Caller:
        """Return who sends the request, with the scopes that its key and its user both have.

        Raise ProblemError: 401, 429 or 503, and 403 where the request needs a scope that is missing. Nothing
        of the body is read.
        """
        headers = request.headers.getlist("Authorization")
        key = key_in(headers[0]) if len(headers) == 1 and not is_from_page(request) else None
        if key is not None:
            caller = self._caller_by_key(request, key)
        else:
            caller = Caller(await self._user_by_password(request, headers))
        allowed = self.rules.of(caller.user).scopes
        if not caller.scopes <= allowed:
            caller = replace(caller, scopes=caller.scopes & allowed)
        needed = scope_for(request.method)
        if needed not in caller.scopes:
            raise scope_missing(caller, needed)
        return caller

    def is_admin(self, caller: Caller) -> bool:
        """Return whether the caller has an administrator's rights: in ADMIN_USERNAMES, with that scope."""
        return caller.user in self._admins and Scope.ADMIN in caller.scopes

    def _caller_by_key(self, request: Request, text: str) -> Caller:
        """Return the key's caller. Raise ProblemError: 401 or 429."""
        client = self._may_try(request)
        key = self._bearer.find(text)
        if key is None:
            self._limiter.failed(client)
            self._metrics.refused(SignInRefusal.WRONG)
            raise wrong_key()
        note_key(request, key.id)
        # Whoever has the whole key guesses nothing: what follows does not count as a failure.
        try:
            if self._sign_in.credential_of(key.user) is None:
                raise wrong_key()
            return self._bearer.caller(key)
        except ProblemError:
            self._metrics.refused(SignInRefusal.KEY_ENDED)
            raise

    async def _user_by_password(self, request: Request, headers: Sequence[str]) -> str:
        # A browser adds a stored password to the page's requests too. For these only the cookie counts.
        if is_from_page(request) or (not headers and COOKIE in request.cookies):
            return self._user_of_session(request)
        if not headers:
            self._metrics.refused(SignInRefusal.MISSING)
            raise ProblemError(
                401,
                "Authentication is required: send a user name and a password by HTTP Basic, or a key as "
                "Authorization: Bearer uvr_…",
                headers=CHALLENGE,
            )
        client = self._may_try(request)
        # Of two headers, a proxy before us may have read the other one.
        credentials = decode(headers[0]) if len(headers) == 1 else None
        if credentials is None:
            self._limiter.failed(client)
        user = await self._user(client, *credentials) if credentials else None
        if user is None:
            self._metrics.refused(SignInRefusal.WRONG)
            raise ProblemError(401, "Wrong user name or password", headers=CHALLENGE)
        return user

    async def sign_in(self, request: Request, name: str, password: str) -> str:
        """Return a session's token for the right password. Raise ProblemError: 401, 429 or 503."""
        user = await self._user(self._may_try(request), name.encode(), password.encode())
        if user is None:
            self._metrics.refused(SignInRefusal.WRONG)
            raise ProblemError(401, "Wrong user name or password")
        return self.sessions.issue(user)

    def _user_of_session(self, request: Request) -> str:
        """Return the user. Raise ProblemError: 401, or 403 for a change that does not come from our page."""
        user = self.sessions.user_of(request.cookies.get(COOKIE, ""))
        if user is None:
            self._metrics.refused(SignInRefusal.MISSING)
            # With a challenge the browser would ask for the password in a window of its own.
            headers = None if is_from_page(request) else CHALLENGE
            raise ProblemError(401, "Nobody is signed in, or the session is over: sign in", headers=headers)
        if request.method not in _CHANGES_NOTHING:
            require_page(request)
        return user

    def _may_try(self, request: Request) -> str:
        """Return the client's address. Raise ProblemError 429 for one that has failed too often."""
        address = request.scope.get("client")
        client: str = address[0] if address else ""
        wait_s = self._limiter.retry_after_s(client)
        if wait_s > 0:
            self._metrics.refused(SignInRefusal.TOO_MANY_FAILURES)
            raise ProblemError(
                429,
                f"Too many failed sign-ins from this address; please try again in {math.ceil(wait_s)} s",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        return client

    async def _user(self, client: str, name: bytes, password: bytes) -> str | None:
        if user := self._sign_in.known(name, password):
            return user
        counts = not self._sign_in.is_under_way(name, password)
        if counts:
            # Before the check, which takes a while: many guesses at once would all be let in otherwise.
            self._limiter.failed(client)
        try:
            user = await self._sign_in.check(name, password)
        except TooManySignIns:
            self._metrics.refused(SignInRefusal.BUSY)
            if counts:
                self._limiter.forgive(client)
            raise ProblemError(
                503, "Too many sign-ins are being checked; please try again", headers={"Retry-After": "1"}
            ) from None
        if user is not None and counts:
            self._limiter.forgive(client)
        return user


def is_from_page(request: Request) -> bool:
    """Return whether the console has sent the request."""
    return request.headers.get(PAGE_HEADER) == "1"


def require_page(request: Request) -> None:
    """Raise ProblemError 403 unless the console has sent the request."""
    if not is_from_page(request):
        raise ProblemError(
            403,
            f"With a session, a request that changes something needs the header {PAGE_HEADER}: 1",
            error_code="csrf_header_missing",
        )


def make_sign_in(settings: ApiSettings, clock: Callable[[], float]) -> SignIn:
    """Raise ValueError for a users file that is wrong."""
    pair = Pair(settings.basic_auth_username, settings.basic_auth_password.get_secret_value())
    if settings.basic_auth_users_file is None:
        return SignIn(pair, {}, clock)
    users = read_users(settings.basic_auth_users_file)
    # With a file of users and no password set, the well-known default password must not stay valid.
    if "basic_auth_password" not in settings.model_fields_set:
        return SignIn(None, users, clock)
    if pair.name in users:
        raise ValueError("BASIC_AUTH_USERS_FILE has a user of the name in BASIC_AUTH_USERNAME")
    return SignIn(pair, users, clock)


def decode(header: str) -> tuple[bytes, bytes] | None:
    """Return user and password from an `Authorization` header; None if it is no well-formed Basic header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(" "), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
