"""A host that breaks connections, and can send the rest of its file."""

from dataclasses import dataclass, field

from tests.support.http_server import Connection, Request, head

ETAG = ("ETag", '"first"')


@dataclass
class RangeHost:
    """Sends a file and its version, and breaks the connection after `cuts_at` bytes of the file, once each.

    `answers_ranges` False: the host sends the whole file whatever it is asked for. `holds_at`: the first
    connection stands still there in place of ending.
    """

    song: bytes
    version: list[tuple[str, str]] = field(default_factory=lambda: [ETAG])
    cuts_at: list[int] = field(default_factory=list)
    answers_ranges: bool = True
    holds_at: int | None = None
    sent_bytes: int = 0

    def __call__(self, request: Request, connection: Connection) -> None:
        begin, song = self._begin(request), self.song
        fields = [("Content-Type", "audio/wav"), ("Content-Length", str(len(song) - begin)), *self.version]
        if begin:
            fields.append(("Content-Range", f"bytes {begin}-{len(song) - 1}/{len(song)}"))
        connection.send(head(206 if begin else 200, fields))
        end = self.cuts_at.pop(0) if self.cuts_at else len(song)
        holds_at, self.holds_at = self.holds_at, None
        end = end if holds_at is None else holds_at
        self.sent_bytes += max(0, end - begin)
        connection.send(song[begin:end])
        if holds_at is not None:
            connection.wait(3600)

    def _begin(self, request: Request) -> int:
        if not self.answers_ranges or "range" not in request.headers:
            return 0
        validators = [value for name, value in self.version if name != "Date"]
        if request.headers.get("if-range") not in validators:
            return 0
        return int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
