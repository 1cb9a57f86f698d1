"""Checks the head of the answer to a download: its status, its encodings, its length and its type."""

import logging

import requests

from common.errors import ErrorCode, PermanentError, TransientError
from common.outbound.failures import printable, retry_after_s

log = logging.getLogger(__name__)

_AUDIO_TYPES = ("audio", "wav", "mp3", "flac", "ogg", "m4a", "aac")
_TRANSIENT_STATUSES = (408, 425, 429)


def check_status(response: requests.Response, now_s: float) -> None:
    """Raise TransientError or PermanentError (http_error) unless the answer carries the whole file.

    `now_s`, in seconds since the epoch, is for dates in `Retry-After`.
    """
    status = response.status_code
    if status in _TRANSIENT_STATUSES or status >= 500:
        retry_s = retry_after_s(response.headers, now_s)
        raise TransientError(ErrorCode.HTTP_ERROR, f"HTTP error: {status}", retry_s)
    # 203 is 200 through a proxy that changed something. Other successes do not carry the whole file.
    if status not in (200, 203):
        raise PermanentError(ErrorCode.HTTP_ERROR, f"HTTP error: {status}")
    check_codings(response)


def check_codings(response: requests.Response) -> None:
    """Raise PermanentError (http_error) where the body is coded in a way that nobody asked for."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        coding = response.headers.get(header, plain).strip().lower()
        if coding not in ("", "identity", plain):
            raise PermanentError(
                ErrorCode.HTTP_ERROR,
                f"HTTP error: the server sent {header} {printable(coding, 40)} unasked",
            )


def content_type(response: requests.Response) -> str:
    """Return the content type in lower case, or ""; log a warning where it is not a type of audio."""
    found = printable(response.headers.get("Content-Type", "").lower(), 100)
    if not any(kind in found for kind in _AUDIO_TYPES):
        log.warning("Content type may not be audio: %s", found or "none given")
    return found


def content_length(response: requests.Response) -> int | None:
    """Return the declared length of the body in bytes; None where no length is declared."""
    # A chunked body's Content-Length must be ignored (RFC 9112, 6.3).
    value = response.headers.get("Content-Length", "").strip()
    if "Transfer-Encoding" in response.headers or not (value.isascii() and value.isdigit()):
        return None
    # 18 digits are too large in any case, and Python refuses to convert very long numbers.
    return int(value.lstrip("0")[:18] or "0")
