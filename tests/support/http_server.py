"""A scriptable HTTP server on the loopback interface, written on plain sockets so that it can lie.

    with ScriptedServer() as server:
        server.on("/song.wav", serve(b"..."))
        requests.get(server.url + "/song.wav")

A `Script` gets the request and the connection; the server closes the connection after it.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(frozen=True)
class Request:
    """`headers` has lower-case names; `target` is path and query as they were sent.

    `at_s` is when the whole request had come, in seconds since the epoch.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at_s: float = 0.0

    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class Connection:
    """What a script writes to. Waits end at once when the server closes."""

    sock: socket.socket
    closing: threading.Event = field(repr=False)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait(self, seconds: float) -> None:
        """Raises ConnectionError when the server closes."""
        if self.closing.wait(seconds):
            raise ConnectionError("the server is closing")


Script = Callable[[Request, Connection], None]


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def serve(
    data: bytes = b"",
    status: int = 200,
    content_type: str = "audio/wav",
    headers: Iterable[tuple[str, str]] = (),
    declared_bytes: int | None = -1,
) -> Script:
    """`declared_bytes` is what Content-Length says: -1 the truth, None nothing at all, else a lie."""
    length = len(data) if declared_bytes == -1 else declared_bytes
    fields = [("Content-Type", content_type), *headers]
    if length is not None:
        fields.append(("Content-Length", str(length)))

    def script(request: Request, connection: Connection) -> None:
        connection.send(head(status, fields))
        if request.method != "HEAD":
            connection.send(data)

    return script


def serve_chunked(chunks: Iterable[bytes], content_type: str = "audio/wav", end: bool = True) -> Script:
    """`chunks` may be endless. Without `end` the last chunk never comes."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(head(200, [("Content-Type", content_type), ("Transfer-Encoding", "chunked")]))
        for chunk in chunks:
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if end:
            connection.send(b"0\r\n\r\n")

    return script


def drip(
    data: bytes, seconds: float, content_type: str = "audio/wav", with_length: bool = True, status: int = 200
) -> Script:
    """Sends `data` evenly over `seconds`, about ten pieces a second."""

    def script(request: Request, connection: Connection) -> None:
        fields = [("Content-Type", content_type)]
        if with_length:
            fields.append(("Content-Length", str(len(data))))
        connection.send(head(status, fields))
        dripped(data, seconds, connection)

    return script


def dripped(data: bytes, seconds: float, connection: Connection) -> None:
    """Sends `data` evenly over `seconds`, about ten pieces a second."""
    pieces = max(1, int(seconds * 10))
    size = max(1, -(-len(data) // pieces))
    for start in range(0, len(data), size):
        connection.send(data[start : start + size])
        connection.wait(seconds / pieces)


def drip_headers(pause_s: float) -> Script:
    """A header that never ends, a byte at a time."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            connection.send(b"x")
            connection.wait(pause_s)

    return script


def stall(before: bytes = b"") -> Script:
    """Sends `before`, raw, and then nothing until the client or the server closes."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(before)
        connection.wait(3600)

    return script


def reset(before: bytes = b"") -> Script:
    """Sends `before`, raw, and then a TCP reset."""

    def script(request: Request, connection: Connection) -> None:
        connection.send(before)
        linger = struct.pack("ii", 1, 0)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return script


def raw(data: bytes) -> Script:
    return lambda request, connection: connection.send(data)


def redirect(location: str, status: int = 302) -> Script:
    return serve(b"moved", status, "text/plain", [("Location", location)])


def in_turn(*scripts: Script) -> Script:
    """The first request gets the first script, and so on; the last one answers all that follow."""
    rest = list(scripts)
    lock = threading.Lock()

    def script(request: Request, connection: Connection) -> None:
        with lock:
            chosen = rest.pop(0) if len(rest) > 1 else rest[0]
        chosen(request, connection)

    return script


class ScriptedServer:
    """Answers each path with its script, 404 elsewhere, and records every request."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None):
        self._listener = socket.create_server((host, port))
        self._tls = tls
        self._scripts: dict[str, Script] = {}
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._open: set[socket.socket] = set()
        self.connections = 0
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self.url = self.origin
        threading.Thread(target=self._accept, name="scripted-server", daemon=True).start()

    def on(self, path: str, script: Script) -> str:
        """Returns the URL."""
        self._scripts[path] = script
        return self.url + path

    def requests(self, path: str | None = None) -> list[Request]:
        with self._changed:
            return [r for r in self._requests if path is None or r.target.partition("?")[0] == path]

    def wait_for_requests(
        self, count: int, timeout_s: float = 60.0, path: str | None = None
    ) -> list[Request]:
        """Waits until `count` requests have come. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests(path)) >= count, timeout_s):
                raise TimeoutError(f"{len(self.requests(path))} requests of {count} after {timeout_s} s")
            return self.requests(path)

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        # A listener that is only closed leaves its accept() blocked.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            for sock in self._open:
                _hang_up(sock)

    def __enter__(self) -> "ScriptedServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        # A client that goes away, or speaks no HTTP, is what many tests are about.
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with self._changed:
                self._open.add(sock)
            request = _read_request(sock)
            with self._changed:
                self._requests.append(request)
                self._changed.notify_all()
            path = request.target.partition("?")[0]
            script = self._scripts.get(path, serve(b"not found", 404, "text/plain"))
            script(request, Connection(sock, self._closing))
        except (OSError, ValueError):
            return
        finally:
            with self._changed:
                self._open.discard(sock)
            sock.close()


class CallbackReceiver(ScriptedServer):
    """Takes callbacks at `hook_url`. `answer` sets what it answers from now on."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0):
        super().__init__(host, port)
        self.hook_url = self.url + "/hook"
        self.answer(204)

    def answer(self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.on("/hook", serve(body, status, "text/plain", headers))

    def wait_for_callbacks(self, count: int = 1, timeout_s: float = 60.0) -> list[Request]:
        return self.wait_for_requests(count, timeout_s, "/hook")


def _read_request(sock: socket.socket) -> Request:
    with sock.makefile("rb") as stream:
        method, target, _ = stream.readline().decode("latin-1").split(" ", 2)
        headers = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, time.time())


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was faster
        return
