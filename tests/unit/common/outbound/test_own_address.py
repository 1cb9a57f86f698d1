"""A public address of this host's own is refused, however it is named."""

import json
import socket
import subprocess
import sys

import pytest

from common.errors import ErrorCode, JobError, PermanentError, UnlikelyError
from common.outbound import sockets
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from common.outbound.own_address import is_own, same_end
from tests.support.common.outbound.guarded import fetch
from tests.support.http_server import ScriptedServer
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.network

PUBLIC = "93.184.216.34"


@pytest.fixture(scope="module")
def on_a_host_of_its_own():
    """Runs a host that has public addresses, and tries each way to name them."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.common.outbound.own_host"],
        stdout=subprocess.PIPE,
        check=True,
        cwd=REPOSITORY,
    )
    return json.loads(ran.stdout)


def test_every_way_to_a_host_s_own_public_address_is_refused_for_users(on_a_host_of_its_own):
    errors = on_a_host_of_its_own["errors"]
    assert errors.pop("trusted, port closed") == "TransientError network_error"
    expected = {
        way: f"{'UnlikelyError' if way.endswith('.test') else 'PermanentError'} address_blocked"
        for way in errors
    }
    assert errors == expected
    assert len(errors) == 19


def test_no_connection_is_even_tried(on_a_host_of_its_own):
    assert on_a_host_of_its_own["connected"] == [False, False]
    assert on_a_host_of_its_own["reachable"] == [True, True]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::ffff:127.0.0.1", "::1", "::1%lo"])
def test_what_a_socket_can_be_bound_to_is_our_own(address):
    assert is_own(address)


@pytest.mark.parametrize("address", [PUBLIC, f"::ffff:{PUBLIC}", "2606:4700::1111", "192.0.2.1"])
def test_what_is_elsewhere_is_not(address):
    assert not is_own(address)


class Near(sockets.InterruptibleSocket):
    """A connection whose near end pretends to have a given address."""

    name: tuple

    def getsockname(self) -> tuple:
        return self.name


def connected_from(near: tuple, server: ScriptedServer, opened: list[Near]):
    def connect(addresses, port, timeout_s, stop_check):
        sock = Near(stop_check, socket.AF_INET)
        sock.name = near
        sock.settimeout(timeout_s)
        sock.connect(("127.0.0.1", server.port))
        opened.append(sock)
        return sock

    return connect


@pytest.mark.parametrize(
    ("answer", "near"),
    [
        (PUBLIC, (PUBLIC, 5)),
        (PUBLIC, (f"::ffff:{PUBLIC}", 5, 0, 0)),
        ("2606:4700::1111", ("2606:4700:0:0::1111", 5, 0, 0)),
        ("2606:4700::1111", ("2606:4700::1111%eth0", 5, 0, 2)),
    ],
)
def test_where_only_the_connection_tells_nothing_is_sent(answer, near):
    """Where the kernel lets sockets bind to any address, the ends of the connection are compared."""
    opened: list[Near] = []
    with ScriptedServer() as server:
        network = OutboundNetwork(
            AddressPolicy(frozenset({80})),
            lambda host, port: [answer],
            connect=connected_from(near, server, opened),
        )
        host = f"[{answer}]" if ":" in answer else answer
        for url, kind in ((f"http://{host}/", PermanentError), ("http://song.test/", UnlikelyError)):
            with pytest.raises(JobError) as caught:
                fetch(url, network)
            assert type(caught.value) is kind
            assert caught.value.code == ErrorCode.ADDRESS_BLOCKED
        assert [sock.fileno() for sock in opened] == [-1, -1], "closed"
        assert server.requests() == []


def test_another_near_end_is_no_reason():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        assert not same_end(sock, [PUBLIC, "2606:4700::1111"])
        assert same_end(sock, [PUBLIC, "127.0.0.1"])
