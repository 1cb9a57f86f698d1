"""Lists servers that lie, stall or flood, each with the expected end of a download."""

import gzip
import itertools
from dataclasses import dataclass

from tests.support.http_server import (
    Connection,
    Request,
    Script,
    drip,
    drip_headers,
    raw,
    reset,
    serve,
    serve_chunked,
    stall,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FLOOD = b"x" * 65536


@dataclass(frozen=True)
class Ending:
    """`code` None: downloaded, with `size_bytes`."""

    code: str | None
    permanent: bool = False
    size_bytes: int | None = None


TOO_LARGE = Ending("too_large", True)
EMPTY = Ending("empty_file", True)
REFUSED = Ending("http_error", True)
TRY_AGAIN = Ending("http_error")
BROKEN = Ending("network_error")
TOO_SLOW = Ending("download_timeout")
SONG = Ending(None, size_bytes=4)


def endless(before: bytes, piece: bytes = FLOOD) -> Script:
    """Sends `before` and then `piece` again and again, as fast as it is taken."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(before)
        while True:
            connection.send(piece)

    return script


def dripped(before: bytes, piece: bytes) -> Script:
    """Sends `before` and then `piece` for ever, twenty times a second."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(before)
        while True:
            connection.send(piece)
            connection.wait(0.05)

    return script


def answering(status: int, *headers: tuple[str, str]) -> Script:
    return serve(b"", status, headers=headers)


# For limits of 1 MiB and 1 second in all.
SERVERS: dict[str, tuple[Script, Ending]] = {
    "no length, flood": (endless(OK + b"\r\n"), TOO_LARGE),
    "no length, song": (raw(OK + b"\r\nsong"), SONG),
    "length too short, flood": (endless(OK + b"Content-Length: 4\r\n\r\nsong"), SONG),
    "length too long": (serve(b"song", declared_bytes=1000), BROKEN),
    "length over the limit": (serve(b"song", declared_bytes=(1 << 20) + 1), TOO_LARGE),
    "length of 5,000 digits": (raw(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nsong"), TOO_LARGE),
    "length zero, flood": (endless(OK + b"Content-Length: 0\r\n\r\n"), EMPTY),
    "length negative, flood": (endless(OK + b"Content-Length: -1\r\n\r\n"), TOO_LARGE),
    "length no number, flood": (endless(OK + b"Content-Length: many\r\n\r\n"), TOO_LARGE),
    "two lengths": (raw(OK + b"Content-Length: 4\r\nContent-Length: 9\r\n\r\nsong"), BROKEN),
    "length beside endless chunks": (
        endless(
            OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + FLOOD + b"\r\n"
        ),
        TOO_LARGE,
    ),
    "body dripped": (drip(b"x" * 1000, seconds=600), TOO_SLOW),
    "body dripped, no length": (drip(b"x" * 1000, seconds=600, with_length=False), TOO_SLOW),
    "body that stops": (stall(OK + b"Content-Length: 9\r\n\r\nsong"), TOO_SLOW),
    "header dripped": (drip_headers(0.05), TOO_SLOW),
    "headers without end, dripped": (dripped(OK, b"X: y\r\n"), TOO_SLOW),
    "status line dripped": (dripped(b"HTTP/1.1 200 ", b"x"), TOO_SLOW),
    "interim answers without end": (dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TOO_SLOW),
    "interim answers, flood": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), TOO_SLOW),
    "no answer": (stall(), TOO_SLOW),
    "header line too long": (raw(OK + b"X: " + b"x" * 100_000 + b"\r\n\r\nsong"), BROKEN),
    "header line without end": (endless(OK + b"X: "), BROKEN),
    "too many headers": (raw(OK + b"X: y\r\n" * 1000 + b"\r\nsong"), BROKEN),
    "headers without end": (endless(OK, b"X: y\r\n" * 1000), BROKEN),
    "chunks without end": (serve_chunked(itertools.repeat(FLOOD)), TOO_LARGE),
    "tiny chunks without end": (endless(CHUNKED, b"10\r\n" + b"x" * 16 + b"\r\n"), TOO_LARGE),
    "chunks dripped": (dripped(CHUNKED, b"1\r\nx\r\n"), TOO_SLOW),
    "chunk size dripped": (dripped(CHUNKED, b"0"), TOO_SLOW),
    "chunk size without end": (endless(CHUNKED, b"0" * 65536), BROKEN),
    "chunk size no number": (raw(CHUNKED + b"zz\r\nsong\r\n0\r\n\r\n"), BROKEN),
    "chunk size empty": (raw(CHUNKED + b"\r\nsong\r\n0\r\n\r\n"), BROKEN),
    "chunk size negative": (raw(CHUNKED + b"-4\r\nsong\r\n0\r\n\r\n"), BROKEN),
    "chunk size negative, flood": (endless(CHUNKED + b"-4\r\n"), TOO_LARGE),
    "chunk size huge": (raw(CHUNKED + b"f" * 32 + b"\r\nsong"), BROKEN),
    "chunk size huge, flood": (endless(CHUNKED + b"f" * 32 + b"\r\n"), TOO_LARGE),
    "chunk extension without end": (endless(CHUNKED + b"4;", b"x" * 65536), BROKEN),
    "chunk shorter than its size": (raw(CHUNKED + b"9\r\nsong\r\n0\r\n\r\n"), BROKEN),
    "no last chunk": (serve_chunked([b"song"], end=False), BROKEN),
    "no chunk": (serve_chunked([]), EMPTY),
    "trailers without end, dripped": (dripped(CHUNKED + b"4\r\nsong\r\n0\r\n", b"X: y\r\n"), TOO_SLOW),
    "trailers without end": (endless(CHUNKED + b"4\r\nsong\r\n0\r\n", b"X: y\r\n" * 1000), TOO_SLOW),
    "gzip unasked": (serve(gzip.compress(b"song"), headers=[("Content-Encoding", "gzip")]), REFUSED),
    "gzip bomb": (serve(gzip.compress(bytes(64 << 20)), headers=[("Content-Encoding", "GZIP")]), REFUSED),
    "identity and gzip": (serve(b"song", headers=[("Content-Encoding", "identity, gzip")]), REFUSED),
    "gzip as a transfer coding": (
        serve(gzip.compress(b"song"), headers=[("Transfer-Encoding", "gzip")], declared_bytes=None),
        REFUSED,
    ),
    "gzip within chunks": (
        raw(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nsong\r\n0\r\n\r\n"),
        REFUSED,
    ),
    "identity": (serve(b"song", headers=[("Content-Encoding", "identity")]), SONG),
    "zero bytes": (serve(b""), EMPTY),
    "zero bytes, no length": (serve(b"", declared_bytes=None), EMPTY),
    "201": (serve(b"song", 201), REFUSED),
    "203": (serve(b"song", 203), SONG),
    "204": (answering(204), REFUSED),
    "206 unasked": (serve(b"song", 206, headers=[("Content-Range", "bytes 0-3/9")]), REFUSED),
    "304": (answering(304), REFUSED),
    "401": (answering(401, ("WWW-Authenticate", "Basic")), REFUSED),
    "404": (answering(404), REFUSED),
    "407": (answering(407, ("Proxy-Authenticate", "Basic")), REFUSED),
    "408": (answering(408), TRY_AGAIN),
    "425": (answering(425), TRY_AGAIN),
    "429": (answering(429), TRY_AGAIN),
    "500": (answering(500), TRY_AGAIN),
    "503": (answering(503), TRY_AGAIN),
    "999": (answering(999), TRY_AGAIN),
    "101": (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), REFUSED),
    "status 0": (raw(b"HTTP/1.1 0 Nothing\r\n\r\n"), BROKEN),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), BROKEN),
    "HTTP/0.9": (raw(b"<html>song</html>"), BROKEN),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\nsong"), SONG),
    "closed": (raw(b""), BROKEN),
    "reset": (reset(), BROKEN),
    "reset in the body": (reset(OK + b"Content-Length: 9\r\n\r\nsong"), BROKEN),
}

# What the server says in Retry-After at 100 s since the epoch, and the delay of 30, 300 and 3600 s it gives.
RETRY_AFTER = [
    ("1", 30),
    ("30", 30),
    ("31", 300),
    ("300", 300),
    ("301", 3600),
    ("86400", 3600),
    ("99999999999999999999", 3600),
    ("Thu, 01 Jan 1970 00:03:00 GMT", 300),
    ("Thursday, 01-Jan-70 00:03:00 GMT", 300),
    ("Thu Jan  1 00:03:00 1970", 300),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 30),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ("Fri, 31 Dec 99999 23:59:59 GMT", 30),
    ("Thu, 99 Jan 1970 00:00:00 GMT", 30),
    ("-5", 30),
    ("-99999", 30),
    ("1e9", 30),
    ("99.5", 30),
    ("0x1000", 30),
    ("９９９", 30),
    ("soon", 30),
    ("", 30),
    ("\x01", 30),
    ("1, 3000", 30),
]
