"""Tells why an exchange with a user's host failed, and when the host wants to be asked again."""

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPException, IncompleteRead

import requests
import urllib3

from common.waiting import DeadlineExceeded

# OpenSSL's codes for a certificate that no authority known here has signed.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_MAX_RETRY_AFTER_S = 7 * 24 * 3600.0
_MAX_REASON_CHARS = 200

# The errors of a guarded exchange, beside JobError and the errors of the caller's own check.
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, DeadlineExceeded)


def is_timeout(error: Exception) -> bool:
    """Returns whether one wait took too long. (DeadlineExceeded: the whole exchange did.)"""
    return isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))


def is_bad_certificate(error: BaseException) -> bool:
    """Returns whether the host's certificate was refused, such as an expired one or another name's."""
    return isinstance(_root_of(error), ssl.SSLCertVerificationError)


def reason(error: BaseException) -> str:
    """Says in a few words what went wrong. Leaves the address out: its query may hold a secret."""
    match _root_of(error):
        case None:
            return type(error).__name__
        case IncompleteRead():
            return "the answer ended too early"
        case BadStatusLine() as root if not isinstance(root, OSError):
            return "the answer is not HTTP"
        case ssl.SSLCertVerificationError() as root:
            return _about_certificate(root)
        case root:
            return printable((isinstance(root, OSError) and root.strerror) or str(root), _MAX_REASON_CHARS)


def _root_of(error: BaseException) -> OSError | HTTPException | None:
    """Returns the innermost cause that says what happened on the network, if there is one."""
    root: OSError | HTTPException | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, HTTPException)) and not isinstance(cause, requests.RequestException):
            root = cause
        cause = cause.__cause__ or cause.__context__
    return root


def _about_certificate(refused: ssl.SSLCertVerificationError) -> str:
    why = printable(refused.verify_message, _MAX_REASON_CHARS).rstrip(".")
    text = f"the host's certificate is refused: {why}"
    if refused.verify_code in _UNKNOWN_AUTHORITY:
        text += ". The operator can name a private authority in OUTBOUND_CA_FILE"
    return text


def printable(text: str, limit: int) -> str:
    """Returns the first `limit` characters of a server's text, fit for a log: a header may hold line ends."""
    return "".join(c if c.isprintable() else "�" for c in text[:limit])


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Returns the seconds that `Retry-After` asks for, as a number or a date, at most a week. Else None."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _MAX_RETRY_AFTER_S)
