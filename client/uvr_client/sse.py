"""Parses server-sent events from the bytes of a body, as the HTML standard describes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event. `id` is the last id in the stream, given with this event or before it."""

    event: str
    data: str
    id: str


def parse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent | None]:
    """Yields an event where one ends, and None for each other line: a comment too is a sign of life.

    An event that the end of the body cuts off is dropped.
    """
    kind, last_id = "", ""
    data: list[str] = []
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
    """Yields the lines, which end in LF or CRLF. httpx's str.splitlines would cut JSON at U+2028."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
