"""Serves `/livez` (also `/health`), `/readyz` and `/metrics` for a service without a web server."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from common import __version__

log = logging.getLogger(__name__)

_STOP_TICK_S = 0.5


@dataclass(frozen=True)
class Check:
    """The state of one thing that a service needs. `detail` says why it is not ok, or which one it is."""

    ok: bool
    detail: str = ""


Checks = Mapping[str, Callable[[], Check]]
# The content type and the text of what `/metrics` answers.
Exposition = Callable[[], tuple[str, bytes]]


def report(checks: Checks, timestamp_s: float) -> tuple[int, dict[str, object]]:
    """Returns the status code and body of `/readyz`: 200 if every check is ok, else 503."""
    results = _results(checks)
    ready = all(result.ok for result in results.values())
    body: dict[str, object] = {
        "status": "ready" if ready else "not ready",
        "timestamp": timestamp_s,
        "checks": {name: {"ok": r.ok, "detail": r.detail} for name, r in results.items()},
    }
    return (200 if ready else 503), body


def is_ready(checks: Checks) -> bool:
    """Returns whether `/readyz` would answer 200."""
    return all(result.ok for result in _results(checks).values())


def _results(checks: Checks) -> dict[str, Check]:
    return {name: _result(name, check) for name, check in checks.items()}


def _result(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # a check that fails must not hide the results of the others
        log.exception("the check of %s failed", name)
        return Check(False, f"the check itself failed: {error!r}")


class HealthServer:
    """Serves the checks from a thread of its own. With port 0, `port` is the free port that it took."""

    def __init__(
        self,
        host: str,
        port: int,
        alive: Callable[[], Check],
        checks: Checks,
        exposition: Exposition | None = None,
        stop_tick_s: float = _STOP_TICK_S,
    ):
        """Raises OSError when the port is taken. `stop_tick_s`: how often the thread looks for a `stop`."""
        kind = _ServerV6 if ":" in host else _Server
        self._server = kind((host, port), _handler(alive, checks, exposition))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(stop_tick_s,), name="health", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        # `shutdown` would wait for ever if the thread never ran.
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's own method looks up the host's name, which can hang for many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs a probe that hangs up at level DEBUG; the base class prints a traceback."""
        log.debug("a probe's connection failed", exc_info=True)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _handler(
    alive: Callable[[], Check], checks: Checks, exposition: Exposition | None
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in ("/livez", "/health"):
                result = alive()
                status = "healthy" if result.ok else "unhealthy"
                body = {
                    "status": status,
                    "timestamp": time.time(),
                    "detail": result.detail,
                    "version": __version__,
                }
                self._answer(200 if result.ok else 503, body)
            elif path == "/readyz":
                self._answer(*report(checks, time.time()))
            elif path == "/metrics" and exposition is not None:
                self._send(200, *exposition())
            else:
                self._answer(404, {"error": "not found"})

        do_HEAD = do_GET

        def _answer(self, status: int, body: dict[str, object]) -> None:
            self._send(status, "application/json", json.dumps(body).encode())

        def _send(self, status: int, content_type: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def version_string(self) -> str:
            return "uvr"

        def log_message(self, format: str, *args: object) -> None:
            """Logs no requests: a probe every few seconds would fill the log."""

    return Handler
