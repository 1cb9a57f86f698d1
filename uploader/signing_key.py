"""Signs with Ed25519, so that receivers verify callbacks without a secret (Standard Webhooks, v1a).

A private key is `whsk_` and the 32 bytes of its seed in base64, a public key `whpk_` and its 32 bytes.
"""

import base64
import binascii
import functools

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE, PUBLIC = "whsk_", "whpk_"
_KEY_BYTES = 32


def check_signing_keys(text: str) -> tuple[str, ...]:
    """Returns the keys in WEBHOOK_SIGNING_KEY: one, or several with spaces between them.

    Raises ValueError if one is invalid; the text does not contain the key.
    """
    keys = tuple(text.split())
    try:
        for key in keys:
            _loaded(key)
    except ValueError:
        keys = ()
    if not keys:
        raise ValueError(
            "WEBHOOK_SIGNING_KEY: expected whsk_ and 32 bytes in base64, such as the output of "
            "python -m uploader make-signing-key; several with spaces between"
        )
    return keys


def sign(key: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Returns the signature as the header has it. `key` is one that `check_signing_keys` has returned."""
    signature = _loaded(key).sign(f"{webhook_id}.{timestamp_s}.".encode() + body)
    return f"v1a,{base64.b64encode(signature).decode()}"


def public_key_of(key: str) -> str:
    """Returns the public key. Raises ValueError for a wrong private key."""
    return PUBLIC + base64.b64encode(_loaded(key).public_key().public_bytes_raw()).decode()


def make() -> str:
    """Returns a new private key."""
    return PRIVATE + base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def print_new_key() -> int:
    """Prints a new key as the two settings for uploader and api. Returns the exit code."""
    key = make()
    print(f"WEBHOOK_SIGNING_KEY={key}\nWEBHOOK_PUBLIC_KEYS={public_key_of(key)}")
    return 0


@functools.lru_cache(8)
def _loaded(key: str) -> Ed25519PrivateKey:
    encoded = key.removeprefix(PRIVATE)
    try:
        seed = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if not key.startswith(PRIVATE) or len(seed) != _KEY_BYTES:
        raise ValueError("no key")
    return Ed25519PrivateKey.from_private_bytes(seed)
