"""The probes of a service that has no web server of its own."""

import http.client
import json
import socket
import struct
from contextlib import closing

import pytest

from common.observability.health import Check, HealthServer, report
from tests.support.waiting import wait_for

PATIENCE_S = 20


@pytest.fixture
def serve():
    servers = []

    def start(alive=lambda: Check(True), checks=None, host="127.0.0.1", exposition=None):
        server = HealthServer(host, 0, alive, checks or {}, exposition, stop_tick_s=0.01)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


def ask(server, path, method="GET", host="127.0.0.1"):
    with closing(http.client.HTTPConnection(host, server.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def test_ready_is_200_only_while_everything_is():
    both = {"kafka": lambda: Check(True, "connected"), "store": lambda: Check(True)}
    status, body = report(both, 5.0)
    assert (status, body["status"], body["timestamp"]) == (200, "ready", 5.0)
    status, body = report(both | {"store": lambda: Check(False, "no bucket")}, 5.0)
    assert (status, body["status"]) == (503, "not ready")
    assert body["checks"] == {
        "kafka": {"ok": True, "detail": "connected"},
        "store": {"ok": False, "detail": "no bucket"},
    }


def test_a_check_that_is_broken_is_not_ready_and_hides_no_other():
    def broken():
        raise ValueError("oops")

    status, body = report({"broken": broken, "store": lambda: Check(True)}, 0)
    assert status == 503
    assert "oops" in body["checks"]["broken"]["detail"]
    assert body["checks"]["store"]["ok"]


@pytest.mark.parametrize("path", ["/livez", "/health", "/livez?verbose=1"])
def test_liveness_has_the_contracts_fields(serve, path):
    status, headers, body = ask(serve(), path)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    answer = json.loads(body)
    assert answer["status"] == "healthy"
    assert isinstance(answer["timestamp"], float)


def test_a_service_that_is_not_alive_says_why(serve):
    status, _, body = ask(serve(lambda: Check(False, "poll thread ended")), "/livez")
    assert status == 503
    assert json.loads(body)["detail"] == "poll thread ended"


def test_readiness_is_asked_anew_each_time(serve):
    ready = [False]
    server = serve(checks={"model": lambda: Check(ready[0])})
    assert ask(server, "/readyz")[0] == 503
    ready[0] = True
    assert ask(server, "/readyz")[0] == 200


def test_other_paths_are_404(serve):
    assert ask(serve(), "/")[0] == 404


def test_head_is_answered_without_a_body(serve):
    status, _, body = ask(serve(), "/readyz", "HEAD")
    assert (status, body) == (200, b"")


def test_versions_are_not_told(serve):
    assert "Python" not in str(ask(serve(), "/livez")[1])


def test_ipv6_works_too(serve):
    assert ask(serve(host="::1"), "/livez", host="::1")[0] == 200


def test_a_port_that_is_taken_is_an_error(serve):
    with pytest.raises(OSError, match="in use"):
        HealthServer("127.0.0.1", serve().port, lambda: Check(True), {})


def test_a_probe_that_hangs_up_disturbs_nobody(serve, capfd):
    server = serve()
    rude = socket.create_connection(("127.0.0.1", server.port))
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    rude.sendall(b"GET /livez HTTP/1.1\r\n")
    rude.close()  # with a reset
    assert ask(server, "/livez")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_slow_client_does_not_hold_up_others(serve):
    server = serve()
    with closing(socket.create_connection(("127.0.0.1", server.port))) as slow:
        slow.sendall(b"GET /li")
        assert ask(server, "/livez")[0] == 200


def test_a_stopped_server_frees_its_port(serve):
    server = serve()
    port = server.port
    server.stop()
    wait_for(lambda: _can_bind(port), PATIENCE_S, "free port")


def test_a_server_that_was_never_started_can_be_stopped():
    HealthServer("127.0.0.1", 0, lambda: Check(True), {}).stop()


def _can_bind(port: int) -> bool:
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_metrics_are_answered_as_they_are_given(serve):
    server = serve(exposition=lambda: ("text/plain; version=0.0.4", b"uvr_ready 1.0\n"))
    status, headers, body = ask(server, "/metrics")
    assert (status, headers["Content-Type"], body) == (200, "text/plain; version=0.0.4", b"uvr_ready 1.0\n")
    assert ask(server, "/metrics", "HEAD")[2] == b""


def test_without_metrics_there_is_no_such_page(serve):
    assert ask(serve(), "/metrics")[0] == 404
