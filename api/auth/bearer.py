"""`Authorization: Bearer uvr_…` (RFC 6750): who sends a request that has a key."""

import time
from collections.abc import Callable, Mapping

from api.auth.caller import Caller, Scope
from api.auth.keys import PREFIX, ApiKey, KeyRing, read_ring
from api.auth.reloaded_file import ReloadedFile
from api.problems import ProblemError
from common.settings.schema import ApiSettings

_REALM = 'Bearer realm="UVR API"'
_NO_KEYS = KeyRing({})


class BearerAuth:
    """Finds the caller of a request with a key. A changed file of keys counts from the next request on."""

    def __init__(self, settings: ApiSettings, wall_clock: Callable[[], float] = time.time):
        """Raise ValueError for a file of keys that cannot be used. `wall_clock`: seconds since the epoch."""
        self._wall_clock = wall_clock
        path = settings.api_keys_file
        self._file = path and ReloadedFile("API_KEYS_FILE", path, read_ring, missing=_NO_KEYS)

    def find(self, text: str) -> ApiKey | None:
        """Return the key that `text` is, though it may have ended; None for a text that is no key."""
        return self._file.content().find(text) if self._file else None

    def caller(self, key: ApiKey) -> Caller:
        """Return the caller. Raise ProblemError 401 for a key that has expired or is revoked.

        Whoever gets this answer has the right key, so the reason reveals nothing.
        """
        if key.revoked_at is not None:
            raise refused_key("The key is revoked: use another one", "key_revoked")
        if key.expires_at is not None and self._wall_clock() >= key.expires_at:
            raise refused_key("The key has expired: use another one", "key_expired")
        return Caller(key.user, frozenset(key.scopes), key.id)


def key_in(header: str) -> str | None:
    """Return the text of an `Authorization` header that is meant as a key; None for any other header."""
    scheme, _, text = header.partition(" ")
    text = text.strip(" ")
    return text if scheme.lower() == "bearer" and text.startswith(PREFIX) else None


def wrong_key() -> ProblemError:
    """Return the answer to a key that nobody has, or whose user is gone."""
    return refused_key("The key is not valid", "key_invalid")


def refused_key(detail: str, error_code: str) -> ProblemError:
    return ProblemError(401, detail, error_code=error_code, headers=_challenge("invalid_token"))


def scope_missing(caller: Caller, scope: Scope) -> ProblemError:
    """Return the answer to a request that its key, or its user, may not make."""
    whose = "The key" if caller.key_id else "Your account"
    has = ", ".join(sorted(caller.scopes)) or "no scope"
    return ProblemError(
        403,
        f"{whose} may not do this: the request needs the scope {scope}, and {whose.lower()} has {has}",
        error_code="scope_missing",
        headers=_challenge("insufficient_scope", f', scope="{scope}"') if caller.key_id else None,
    )


def _challenge(error: str, more: str = "") -> Mapping[str, str]:
    return {"WWW-Authenticate": f'{_REALM}, error="{error}"{more}'}
