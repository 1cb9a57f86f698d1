"""Verifies that a callback is the uploader's, by the signatures that Standard Webhooks has.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from uvr_client.errors import WebhookExpired, WebhookForged, WebhookKeyInvalid, WebhookMalformed

TOLERANCE_S = 300.0
"""A callback is refused whose time of signing is further from now: 5 min, as Standard Webhooks has it."""

_SECRET, _PUBLIC_KEY = "whsec_", "whpk_"
_PUBLIC_KEY_BYTES = 32
_HEADERS = ("id", "timestamp", "signature")
_MOMENT = re.compile(r"[0-9]{1,12}", re.ASCII)

_IsBy = Callable[[bytes, bytes], bool]
"""Tells whether a signature (the second bytes) of the first bytes is by a key."""


class Headers(Protocol):
    """The headers of a request, as most servers give them: a dict, or what `http.server` has."""

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True)
class Webhook:
    """A callback with a right signature.

    `id` is the same each time that a callback is sent again: remember the ids that you have seen. `signed_at`
    is in seconds since the epoch. `content` is the body.
    """

    id: str
    signed_at: int
    content: dict[str, Any]


def verify_webhook(
    headers: Headers,
    body: bytes,
    keys: str | Iterable[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    wall_clock: Callable[[], float] = time.time,
) -> Webhook:
    """Returns the callback if one of its signatures is by one of `keys`.

    `body` is the body's bytes as received. A key is a secret (`whsec_…`) for signatures of the version v1,
    or a public key (`whpk_…`) for those of v1a. Several keys, in a list or with spaces between them, are for
    the time in which one replaces another. `wall_clock` gives seconds since the epoch.
    Raises WebhookMalformed, and WebhookExpired for what was signed more than `tolerance_s` ago or ahead.
    Raises WebhookForged if no signature is by a key, and WebhookKeyInvalid, which is a ValueError too.
    """
    checks = [_check_by(key) for key in (keys.split() if isinstance(keys, str) else keys)]
    if not checks:
        raise WebhookKeyInvalid("no key is given: expected whsec_… or whpk_…")
    known = {name.lower(): value for name, value in headers.items()}
    webhook_id, moment, signatures = (_header(known, f"webhook-{name}") for name in _HEADERS)
    if not _MOMENT.fullmatch(moment):
        raise WebhookMalformed("webhook-timestamp: expected whole seconds since the epoch")
    if not abs(wall_clock() - int(moment)) <= tolerance_s:
        raise WebhookExpired(
            f"signed more than {tolerance_s:g} s ago or ahead: it is old, or a clock is wrong"
        )
    signed = f"{webhook_id}.{moment}.".encode() + body
    given = [_signature(text) for text in signatures.split()]
    if not any(version == v and is_by(signed, sig) for version, is_by in checks for v, sig in given):
        raise WebhookForged
    return Webhook(webhook_id, int(moment), _content(body))


def _header(known: dict[str, str], name: str) -> str:
    if not known.get(name):
        raise WebhookMalformed(f"the header {name} is missing")
    return known[name]


def _signature(text: str) -> tuple[str, bytes]:
    """Returns the version and the bytes; no bytes for what is no signature."""
    version, _, encoded = text.partition(",")
    try:
        return version, base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return version, b""


def _check_by(key: str) -> tuple[str, _IsBy]:
    """Returns the version of the key's signatures, and what checks one. Raises WebhookKeyInvalid."""
    if key.startswith(_SECRET):
        secret = _decoded(key, _SECRET)
        return "v1", lambda signed, given: hmac.compare_digest(_hmac(secret, signed), given)
    if key.startswith(_PUBLIC_KEY):
        return "v1a", _ed25519(_decoded(key, _PUBLIC_KEY))
    raise WebhookKeyInvalid("expected a secret (whsec_…) or a public key (whpk_…)")


def _decoded(key: str, prefix: str) -> bytes:
    encoded = key.removeprefix(prefix)
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise WebhookKeyInvalid(f"expected {prefix} and bytes in base64")
    return decoded


def _hmac(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).digest()


def _ed25519(raw: bytes) -> _IsBy:
    # An extra of the package, and imported here: a receiver with a secret does without it.
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        why = "a public key needs the package cryptography: pip install cryptography"
        raise WebhookKeyInvalid(why) from None
    if len(raw) != _PUBLIC_KEY_BYTES:
        raise WebhookKeyInvalid(f"expected {_PUBLIC_KEY} and {_PUBLIC_KEY_BYTES} bytes in base64")
    public_key = Ed25519PublicKey.from_public_bytes(raw)

    def is_by(signed: bytes, given: bytes) -> bool:
        try:
            public_key.verify(given, signed)
        except InvalidSignature:
            return False
        return True

    return is_by


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise WebhookMalformed(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise WebhookMalformed("the body is not a JSON object")
    return content
