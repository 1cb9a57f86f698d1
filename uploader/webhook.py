"""Posts a callback once, signed after Standard Webhooks, and returns what the receiver answered."""

import base64
import binascii
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import requests
from standardwebhooks import Webhook

from common.errors import ErrorCode, JobError, PermanentError, TransientError, UnlikelyError
from common.outbound.addresses import validate_text
from common.outbound.failures import NETWORK_ERRORS, is_bad_certificate, is_timeout, reason, retry_after_s
from common.outbound.guarded_session import GuardedSession, OutboundNetwork
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from uploader import signing_key

_MAX_ANSWER_BYTES = 64 * 1024
_PREFIX = "whsec_"


@dataclass(frozen=True)
class Delivered:
    """The receiver took the callback, with this status of 2xx."""

    status: int


@dataclass(frozen=True)
class Gone:
    """The receiver wants no more callbacks (410)."""


@dataclass(frozen=True)
class Rejected:
    """The receiver answered with another status."""

    status: int
    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Unreachable:
    """There was no answer."""

    reason: str


@dataclass(frozen=True)
class TimedOut(Unreachable):
    """There was no answer in time."""


@dataclass(frozen=True)
class BadCertificate(Unreachable):
    """The receiver's certificate does not prove that it is the receiver."""


@dataclass(frozen=True)
class Refused:
    """We do not connect to this address (address_invalid, address_blocked)."""

    error: PermanentError | UnlikelyError


Delivery = Delivered | Gone | Rejected | Unreachable | Refused


def check_secret(text: str) -> tuple[str, ...]:
    """Returns the secrets in WEBHOOK_SECRET: one, or several with spaces between while one replaces another.

    Raises ValueError if one is invalid; the text does not contain the secret.
    """
    secrets = tuple(text.split())
    if not secrets or not all(_is_secret(secret) for secret in secrets):
        raise ValueError(
            "WEBHOOK_SECRET: expected whsec_ and 24 to 64 bytes in base64, such as the output of "
            'echo "whsec_$(openssl rand -base64 32)"; several with spaces between'
        )
    return secrets


def deliver(
    url: str,
    body: bytes,
    webhook_id: str,
    secrets: Sequence[str],
    network: OutboundNetwork,
    check: StopCheck,
    timeout_s: float,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Delivery:
    """POSTs `body`, a JSON text, to `url`. Does not follow redirects.

    Each of `secrets` makes a signature: a secret (whsec_) or an Ed25519 key (whsk_). `timeout_s` is for
    everything together. Calls `check` several times a second, and raises only what `check`
    raises.
    """
    stop_check = deadline_check(timeout_s, check, clock)
    headers = {"Content-Type": "application/json", **_signature(body, webhook_id, secrets, wall_clock())}
    try:
        validate_text(url, network.policy)
        with GuardedSession(network, stop_check) as session:
            response = session.post(url, data=body, headers=headers, stream=True, timeout=timeout_s)
            with response:
                _read_answer(response)
                return _judge(response, wall_clock())
    except (PermanentError, UnlikelyError) as error:
        return Refused(error)
    except NETWORK_ERRORS as error:
        if isinstance(error, DeadlineExceeded) or is_timeout(error):
            return TimedOut(f"no answer within {timeout_s:g} seconds")
        if is_bad_certificate(error):
            return BadCertificate(f"network error: {reason(error)}")
        return Unreachable(f"network error: {reason(error)}")


def as_error(delivery: Delivery) -> JobError | None:
    """Returns the job's error for a delivery that failed, permanent or transient; None once delivered."""
    match delivery:
        case Delivered():
            return None
        case Gone():
            return PermanentError(ErrorCode.CALLBACK_GONE, "Callback refused for good: HTTP status 410")
        case Rejected(reason=why, retry_after_s=retry_s):
            return TransientError(ErrorCode.CALLBACK_FAILED, f"Callback not taken: {why}", retry_s)
        case BadCertificate(reason=why):
            return UnlikelyError(ErrorCode.CALLBACK_FAILED, f"Callback not delivered: {why}")
        case Unreachable(reason=why):
            return TransientError(ErrorCode.CALLBACK_FAILED, f"Callback not delivered: {why}")
        case Refused(error=error):
            return error


def _is_secret(secret: str) -> bool:
    # The library's own decoder skips characters that are not base64, so it would take any text.
    encoded = secret.removeprefix(_PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(_PREFIX) and 24 <= size <= 64


def _signature(body: bytes, webhook_id: str, secrets: Sequence[str], now_s: float) -> dict[str, str]:
    """Returns the headers of Standard Webhooks; without a secret only the id, for dropping repeats."""
    if not secrets:
        return {"webhook-id": webhook_id}
    signatures = [_signed(secret, webhook_id, int(now_s), body) for secret in secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now_s)),
        "webhook-signature": " ".join(signatures),
    }


def _signed(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    if secret.startswith(signing_key.PRIVATE):
        return signing_key.sign(secret, webhook_id, timestamp_s, body)
    sent_at = datetime.fromtimestamp(timestamp_s, UTC)
    return str(Webhook(secret).sign(webhook_id, sent_at, body.decode()))


def _read_answer(response: requests.Response) -> None:
    """Reads the answer and drops it, so that the receiver can finish writing."""
    # The status line has decided already: a body that is too long or breaks off changes nothing.
    left = _MAX_ANSWER_BYTES
    try:
        while left > 0 and (piece := response.raw.read1(left, decode_content=False)):
            left -= len(piece)
    except NETWORK_ERRORS:
        return


def _judge(response: requests.Response, now_s: float) -> Delivery:
    status = response.status_code
    if 200 <= status < 300:
        return Delivered(status)
    if status == 410:
        return Gone()
    why = f"HTTP status {status}"
    if 300 <= status < 400:
        why += ", a redirect, which callbacks do not follow"
    return Rejected(status, why, retry_after_s(response.headers, now_s))
