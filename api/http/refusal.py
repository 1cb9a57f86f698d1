"""Problems as bytes, for answers that the server gives without asking the app."""

from http import HTTPStatus

from api.http.middleware import SAFE_HEADERS
from api.problems import MEDIA_TYPE, problem


def plain_headers(body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a problem after which the connection is closed."""
    return [
        ("Content-Type", MEDIA_TYPE),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *SAFE_HEADERS.items(),
    ]


def plain_problem(status: int, detail: str, retry_after_s: int) -> bytes:
    """Return a whole answer, for a client of which nothing has been read."""
    body = bytes(problem(status, detail).body)
    headers = [*plain_headers(body), ("Retry-After", str(retry_after_s))]
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
