"""Exchanges with real servers end in time, and their errors say why."""

import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

from common.errors import Cancelled
from common.outbound.addresses import AddressPolicy
from common.outbound.failures import is_timeout, reason, retry_after_s
from common.outbound.guarded_session import OutboundNetwork
from common.waiting import DeadlineExceeded, deadline_check
from tests.support.common.outbound.guarded import fetch, go_on, trusting
from tests.support.http_server import (
    ScriptedServer,
    drip_headers,
    reset,
    serve,
    stall,
)

pytestmark = pytest.mark.network


@pytest.fixture
def server():
    with ScriptedServer() as server:
        server.on("/song.wav", serve(b"song"))
        yield server


class TestHowItEnds:
    @pytest.mark.parametrize(
        "script",
        [
            stall(),
            stall(b"HTTP/1.1 200 OK\r\n"),
            stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
            drip_headers(0.05),
            stall(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        ],
        ids=["silence", "half a head", "half a body", "dripped head", "only interim answers"],
    )
    def test_no_server_outlasts_the_deadline(self, server, script):
        server.on("/", script)
        with pytest.raises(DeadlineExceeded):
            fetch(server.url + "/", trusting(server.origin), deadline_check(0.2, go_on))

    def test_a_cancel_ends_a_wait_at_once(self, server):
        server.on("/", stall())
        cancelled = threading.Event()

        def check() -> None:
            if cancelled.is_set():
                raise Cancelled

        def cancel_when_it_waits() -> None:
            server.wait_for_requests(1)
            cancelled.set()

        threading.Thread(target=cancel_when_it_waits, daemon=True).start()
        # The other limits are far off: only the cancel can end this before the test's own time-out.
        with pytest.raises(Cancelled):
            fetch(server.url + "/", trusting(server.origin), deadline_check(3600, check), timeout_s=3600)

    def test_a_look_up_that_hangs_ends_at_the_deadline(self):
        release = threading.Event()

        def resolve(host: str, port: int) -> Sequence[str]:
            release.wait()
            return []

        network = OutboundNetwork(AddressPolicy(frozenset({80})), resolve)
        with pytest.raises(DeadlineExceeded):
            fetch("http://song.test/", network, deadline_check(0.2, go_on))
        release.set()

    def test_a_look_up_that_hangs_is_a_timeout(self):
        release = threading.Event()
        network = OutboundNetwork(AddressPolicy(frozenset({80})), lambda host, port: release.wait() and [])
        with pytest.raises(requests.ConnectTimeout):
            fetch("http://song.test/", network, timeout_s=0.2)
        release.set()

    def test_silence_longer_than_the_time_out_is_a_timeout(self, server):
        server.on("/", stall())
        with pytest.raises(requests.ReadTimeout) as caught:
            fetch(server.url + "/", trusting(server.origin), timeout_s=0.2)
        assert is_timeout(caught.value)

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (socket.EAI_AGAIN, "Temporary failure in name resolution"),
            (socket.EAI_FAIL, "Non-recoverable failure in name resolution"),
        ],
    )
    def test_a_resolver_that_is_away_is_a_network_error(self, code, text):
        def resolve(host: str, port: int) -> Sequence[str]:
            raise socket.gaierror(code, text)

        with pytest.raises(requests.ConnectionError) as caught:
            fetch("http://song.test/?token=s3cret", OutboundNetwork(AddressPolicy(frozenset({80})), resolve))
        assert reason(caught.value) == text

    @pytest.mark.parametrize("answer", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), []])
    def test_a_trusted_name_that_is_not_there_is_a_network_error(self, answer):
        # The operator has named the host, so its absence is temporary: it comes back with its container.
        def resolve(host: str, port: int) -> Sequence[str]:
            if isinstance(answer, OSError):
                raise answer
            return answer

        with pytest.raises(requests.ConnectionError):
            fetch("http://song.test:81/", trusting("http://song.test:81", resolve=resolve))

    def test_a_reset_is_a_network_error_that_says_so(self, server):
        server.on("/", reset())
        with pytest.raises(requests.ConnectionError) as caught:
            fetch(server.url + "/?token=s3cret", trusting(server.origin))
        assert reason(caught.value) == "Connection reset by peer"

    def test_a_closed_port_is_a_network_error_that_says_so(self, server):
        server.close()
        with pytest.raises(requests.ConnectionError) as caught:
            fetch(server.url + "/?token=s3cret", trusting(server.origin))
        assert reason(caught.value) == "Connection refused"

    def test_sockets_are_closed_whatever_happened(self, server):
        server.on("/stall", stall())
        server.on("/reset", reset())

        def sockets() -> int:
            return sum(1 for fd in Path("/proc/self/fd").iterdir() if _is_socket(fd))

        def everything() -> None:
            network = trusting(server.origin)
            fetch(server.url + "/song.wav", network)
            with pytest.raises(DeadlineExceeded):
                fetch(server.url + "/stall", network, deadline_check(0.1, go_on))
            with pytest.raises(requests.ConnectionError):
                fetch(server.url + "/reset", network)

        before = sockets()
        for _ in range(3):
            everything()
        server.close()
        deadline = time.monotonic() + 30
        while sockets() >= before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sockets() < before, "the listener has gone, and nothing came in its place"


def _is_socket(fd: Path) -> bool:
    try:
        return str(fd.readlink()).startswith("socket:")
    except OSError:
        return False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1e9", None),
        ("9" * 400, 604800.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 604800.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date(value, expected):
    assert retry_after_s({"Retry-After": value}, now_s=100.0) == expected
