"""Sessions of the console: signed tokens that a browser keeps in a cookie.

A token names its user and its end, and is signed by HMAC-SHA256 (RFC 2104). The api stores no sessions, so a
session holds at every api that has the same key, also after a restart. The signature covers the user's
credential, which is the password or its Argon2 hash: a new password ends all sessions of its user.

The key is random and no credential. A token therefore helps nobody to guess a password, and a stolen file of
users signs nothing.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable

LIFETIME_S = 12 * 3600
_VERSION = "v1"
# A name has at most 128 characters.
_MAX_TOKEN_CHARS = 512


class Sessions:
    """Issues tokens and reads them again.

    `key` is called for the first session, since making the key writes a file. `credential_of` returns None
    for a name that no user has. `wall_clock` is in seconds since the epoch: several apis share tokens.
    """

    def __init__(
        self,
        key: Callable[[], bytes],
        credential_of: Callable[[str], bytes | None],
        wall_clock: Callable[[], float] = time.time,
    ):
        self._make_key, self._credential_of, self._wall_clock = key, credential_of, wall_clock
        self._key = b""

    def issue(self, user: str) -> str:
        """Return a token for `user` that is valid for LIFETIME_S."""
        expires_s = int(self._wall_clock()) + LIFETIME_S
        signature = self._signature(user, expires_s, self._credential_of(user) or b"")
        return ".".join((_VERSION, _encoded(user.encode()), str(expires_s), _encoded(signature)))

    def user_of(self, token: str) -> str | None:
        """Return the token's user; None for a token that is not ours, or that has ended."""
        try:
            user, expires_s, signature = _parts(token)
        except ValueError:
            return None
        credential = self._credential_of(user)
        # A name that no user has takes as long as any other.
        is_ours = hmac.compare_digest(self._signature(user, expires_s, credential or b""), signature)
        is_over = self._wall_clock() >= expires_s
        return user if is_ours and credential is not None and not is_over else None

    def _signature(self, user: str, expires_s: int, credential: bytes) -> bytes:
        self._key = self._key or self._make_key()
        name = user.encode()
        # The lengths keep two different lists of parts from giving the same bytes.
        lengths = b"".join(len(part).to_bytes(4) for part in (name, credential))
        signed = b"uvr session " + lengths + expires_s.to_bytes(8) + name + credential
        return hmac.digest(self._key, signed, "sha256")


def _parts(token: str) -> tuple[str, int, bytes]:
    """Return user, end and signature. Raise ValueError for a text of another form."""
    if len(token) > _MAX_TOKEN_CHARS or not token.isascii():
        raise ValueError("no token")
    version, name, expires_s, signature = token.split(".")
    if version != _VERSION or not expires_s.isdigit() or len(expires_s) > 12:
        raise ValueError("no token of this version")
    return _decoded(name).decode("ascii"), int(expires_s), _decoded(signature)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Return the bytes. Raise ValueError for text that is no base64, or not in the one form that we write."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if _encoded(data) != text:
        raise ValueError("another spelling")
    return data
