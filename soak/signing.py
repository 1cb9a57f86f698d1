"""The secret of a soak's callbacks, and the check of their signatures (Standard Webhooks)."""

import base64
import hashlib
import hmac

from tests.support.http_server import Request

_KEY = b"the secret of the soak's callback"
SECRET = f"whsec_{base64.b64encode(_KEY).decode()}"


def is_signed(request: Request) -> bool:
    """Tell whether the callback is signed with SECRET, as the bytes came."""
    signed = f"{request.headers.get('webhook-id')}.{request.headers.get('webhook-timestamp')}."
    digest = hmac.digest(_KEY, signed.encode() + request.body, hashlib.sha256)
    given = request.headers.get("webhook-signature", "").split(" ")
    return f"v1,{base64.b64encode(digest).decode()}" in given
