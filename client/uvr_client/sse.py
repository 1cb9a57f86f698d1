"""Server-sent events out of a body's bytes, as the HTML standard reads them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """`id` is the last one given, in this event or before it."""

    event: str
    data: str
    id: str


def parse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent | None]:
    """The events; None for every line that ends none, since a comment too is a sign of life.

    An event that was cut off by the end is none.
    """
    kind, data, last_id = "", [], ""
    for line in _lines(chunks):
        if not line:
            yield ServerSentEvent(kind or "message", "\n".join(data), last_id) if data else None
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
        yield None


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Those that end in LF or CRLF. (str.splitlines, as httpx has it, would cut JSON at U+2028.)"""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
