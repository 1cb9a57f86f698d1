"""Requests to the api that nobody sends in good faith: raw bytes, and the one status expected of each."""

import base64
import gzip
import json
from dataclasses import dataclass

from tests.support.api.api_client import SONG

MAX_BODY_BYTES = 65536
BODY = json.dumps(SONG).encode()
# In every request that is signed in; in no answer and no log.
PASSWORD = "hostile-TOPSECRET-password"
_BASIC = b"Basic " + base64.b64encode(f"admin:{PASSWORD}".encode())


@dataclass(frozen=True)
class Hostile:
    """`raw` is all that the client sends."""

    name: str
    raw: bytes
    status: int


def request(
    body: bytes = BODY,
    *extra: bytes,
    line: bytes = b"POST /generate HTTP/1.1",
    auth: bytes | None = _BASIC,
    length: bytes | None = b"-",
    host: bytes = b"Host: localhost",
) -> bytes:
    """`extra` are header lines. A `length` of `-` is the right one, None sends none."""
    lines = [line, host]
    if auth is not None:
        lines.append(b"Authorization: " + auth)
    if length is not None:
        lines.append(b"Content-Length: " + (str(len(body)).encode() if length == b"-" else length))
    return b"\r\n".join([*filter(None, [*lines, *extra]), b"", body])


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def song(**fields: object) -> bytes:
    return json.dumps(SONG | fields).encode()


def _basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


def _in_parts(each: int) -> bytes:
    part = b"a" * each
    return request(BODY, b"X-A: " + part, line=b"POST /%s?%s HTTP/1.1" % (part, part))


_CHUNKED = b"Transfer-Encoding: chunked"
_AUDIO, _HOOK = SONG["audio"].encode(), SONG["hook_url"].encode()

BODIES = [
    Hostile("no body", request(b""), 400),
    Hostile("one byte too much", request(BODY + b" " * (MAX_BODY_BYTES + 1 - len(BODY))), 413),
    Hostile("declared too large, nothing sent", request(b"", length=b"99999999999999999999"), 413),
    Hostile(
        "chunked and too large",
        request(chunked(*[b" " * 8192] * 9), _CHUNKED, length=None),
        413,
    ),
    Hostile("invalid UTF-8", request(b'{"audio": "\xff\xfe", "hook_url": "\x80"}'), 400),
    Hostile("UTF-16", request(json.dumps(SONG).encode("utf-16")), 400),
    Hostile("a byte order mark", request(b"\xef\xbb\xbf" + BODY), 400),
    Hostile("60,000 open brackets", request(b"[" * 60_000), 400),
    Hostile("deep in an unknown field", request(b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"), 400),
    Hostile("NaN and Infinity", request(b'{"audio": NaN, "hook_url": -Infinity}'), 400),
    Hostile("a number of 60,000 digits", request(b'{"audio": ' + b"9" * 60_000 + b"}"), 400),
    Hostile("1e999999 as an address", request(b'{"audio": 1e999999, "hook_url": 1}'), 400),
    Hostile("NUL in an address", request(song(audio="https://example.com/\0a")), 400),
    Hostile("raw NUL", request(b'{"audio": "\0"}'), 400),
    Hostile("a lone surrogate", request(b'{"audio": "https://example.com/\\ud800", "hook_url": ""}'), 400),
    Hostile(
        "a duplicate key, of which the last counts",
        request(b'{"audio": "%s", "audio": "file:///etc/passwd", "hook_url": "%s"}' % (_AUDIO, _HOOK)),
        400,
    ),
    Hostile("a list", request(b"[" + BODY + b"]"), 400),
    Hostile("an object as an address", request(song(audio={"$ref": "#"})), 400),
    Hostile("a form", request(b"audio=x", b"Content-Type: application/x-www-form-urlencoded"), 400),
    Hostile(
        "gzip",
        request(gzip.compress(BODY), b"Content-Encoding: gzip"),
        400,
    ),
    Hostile("two documents", request(BODY + BODY), 400),
]

FRAMING = [
    Hostile("length and chunks", request(chunked(BODY), _CHUNKED), 400),
    Hostile("two lengths", request(BODY, b"Content-Length: 5"), 400),
    Hostile("a signed length", request(length=b"+5"), 400),
    Hostile("a negative length", request(length=b"-1"), 400),
    Hostile("a length in hexadecimal", request(length=b"0x10"), 400),
    Hostile("a length of 30 digits", request(length=b"9" * 30), 400),
    Hostile("an encoding that we do not know", request(b"", b"Transfer-Encoding: gzip", length=None), 501),
    Hostile(
        "encodings that end in another", request(b"", b"Transfer-Encoding: chunked, x", length=None), 501
    ),
    Hostile("two Transfer-Encodings", request(b"", _CHUNKED, _CHUNKED, length=None), 501),
    Hostile("a chunk of no size", request(b"xyz\r\n", _CHUNKED, length=None), 400),
    Hostile("a chunk of a huge size", request(b"f" * 30 + b"\r\n", _CHUNKED, length=None), 400),
    Hostile("a space before the colon", request(BODY, b"Transfer-Encoding : chunked"), 400),
    Hostile("no Host", request(host=b""), 400),
    Hostile("two Hosts", request(BODY, b"Host: other"), 400),
    Hostile("NUL in a header", request(BODY, b"X-A: a\0b"), 400),
    Hostile("a header without a name", request(BODY, b": a"), 400),
    Hostile("a header of 100 KB", request(BODY, b"X-A: " + b"a" * 100_000), 431),
    Hostile("10,000 headers", request(BODY, *[b"X-%d: a" % n for n in range(10_000)]), 431),
    Hostile("an endless request line", b"GET /" + b"a" * 100_000, 431),
    Hostile("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 2, 400),
    Hostile("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Hostile("HTTP/0.9", b"GET /health\r\n\r\n", 400),
    Hostile("no HTTP at all", b"\x00\xff\x00\xff\r\n\r\n", 400),
]

PATHS = [
    Hostile("a path with a dot segment", request(line=b"POST /../generate HTTP/1.1"), 404),
    Hostile("an encoded dot segment", request(line=b"POST /%2e%2e/etc/passwd HTTP/1.1"), 404),
    Hostile("two slashes", request(line=b"POST //generate HTTP/1.1"), 404),
    Hostile("an encoded NUL", request(line=b"POST /generate%00 HTTP/1.1"), 404),
    Hostile("an encoded line end", request(line=b"GET /a%0d%0aSet-Cookie:x HTTP/1.1"), 404),
    Hostile("invalid percents", request(line=b"GET /%zz%ff%c0%af HTTP/1.1"), 404),
    Hostile("a path of 17 KB", request(line=b"POST /%s HTTP/1.1" % (b"a" * 17_000)), 431),
    Hostile("a query of 17 KB", request(line=b"POST /generate?%s HTTP/1.1" % (b"a" * 17_000)), 431),
    Hostile("a method of 17 KB", request(line=b"%s /generate HTTP/1.1" % (b"A" * 17_000)), 431),
    Hostile("path, query and headers of 17 KB in all", _in_parts(6_000), 431),
    Hostile("a method of 10 KB", request(line=b"%s /generate HTTP/1.1" % (b"A" * 10_000)), 405),
    Hostile("a path of 10 KB", request(line=b"POST /%s HTTP/1.1" % (b"a" * 10_000)), 404),
    Hostile("a raw byte", request(line=b"GET /\xff HTTP/1.1"), 400),
    Hostile("another origin", request(line=b"GET http://169.254.169.254/latest HTTP/1.1"), 404),
    Hostile("CONNECT", request(line=b"CONNECT example.com:443 HTTP/1.1"), 404),
    Hostile("TRACE", request(line=b"TRACE /generate HTTP/1.1"), 405),
    Hostile("a method of its own", request(line=b"GENERATE /generate HTTP/1.1"), 405),
    Hostile("a method in lower case", request(line=b"post /generate HTTP/1.1"), 405),
    Hostile("OPTIONS *", request(line=b"OPTIONS * HTTP/1.1"), 404),
    Hostile(
        "an upgrade to WebSocket, which is not there",
        request(b"", b"Connection: Upgrade", b"Upgrade: websocket", line=b"GET /generate HTTP/1.1"),
        405,
    ),
]

CREDENTIALS = [
    Hostile("none", request(auth=None), 401),
    Hostile("no scheme", request(auth=base64.b64encode(PASSWORD.encode())), 401),
    Hostile("another scheme", request(auth=b"Bearer " + PASSWORD.encode()), 401),
    Hostile("no base64", request(auth=b"Basic " + b"=" * 50), 401),
    Hostile("no colon", request(auth=_basic(PASSWORD.encode())), 401),
    Hostile("NUL after the name", request(auth=_basic(b"admin\0:" + PASSWORD.encode())), 401),
    Hostile("invalid UTF-8 as a name", request(auth=_basic(b"\xff\xfe:" + PASSWORD.encode())), 401),
    Hostile("a password of 10 KB", request(auth=_basic(b"admin:" + b"a" * 10_000)), 401),
    Hostile("the hash for the password", request(auth=_basic(b"admin:$argon2id$v=19$m=8,t=1,p=1$")), 401),
    Hostile("twice", request(BODY, b"Authorization: " + _BASIC), 401),
    Hostile("bytes that are no Latin text", request(auth=b"Basic \xff\xfe"), 401),
]

KEYS = [
    Hostile("an empty key", request(BODY, b"Idempotency-Key: "), 400),
    Hostile("a key of 256 characters", request(BODY, b"Idempotency-Key: " + b"x" * 256), 400),
    Hostile("a key of bytes", request(BODY, b"Idempotency-Key: \xff\xfe"), 400),
    Hostile("a key with spaces", request(BODY, b"Idempotency-Key: a b"), 400),
    Hostile("a key that is no text", request(BODY, b"Idempotency-Key: \x01"), 400),
]

ALL = BODIES + FRAMING + PATHS + CREDENTIALS + KEYS
