"""The listening socket: answers leave at once, and a port that is taken is an error."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.http.connections import Connections
from api.http.listener import Listener, listen, warn_of_default_credentials
from common.settings.schema import ApiSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0"])
def test_connections_send_small_answers_without_delay(host):
    with closing(listen(ApiSettings(api_host=host, api_port=0))) as listener:
        family, port = listener.family, listener.getsockname()[1]
        with closing(socket.socket(family)) as client:
            client.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
            with closing(listener.accept()[0]) as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_an_error():
    with closing(listen(ApiSettings(api_port=0))) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listen(ApiSettings(api_port=port))


@contextlib.contextmanager
def no_descriptor_left(at_most: int) -> Iterator[None]:
    """No descriptor can be opened, nor, from number `at_most` on, closed and opened again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (at_most, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)


def descriptor_of_the_spare(listener: Listener) -> int:
    found = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > listener.fileno()]
    return max(
        n
        for n in found
        if os.path.exists(f"/proc/self/fd/{n}") and os.readlink(f"/proc/self/fd/{n}") == os.devnull
    )


def test_where_another_thread_took_the_spare_descriptor_connections_come_in_again_and_no_file_is_closed(
    tmp_path: Path,
):
    async def scenario() -> None:
        with closing(listen(ApiSettings(api_port=0))) as listener, contextlib.ExitStack() as clients:
            listener.prepare(Connections(10, 10))
            listener.setblocking(False)
            spare = descriptor_of_the_spare(listener)
            for _ in range(2):
                clients.enter_context(socket.create_connection(listener.getsockname()))
            # The limit is below the spare's number: what is closed there cannot be opened again, as if
            # another thread had been faster.
            with no_descriptor_left(spare), pytest.raises(BlockingIOError):
                listener.accept()
            with open(tmp_path / "file", "w") as other:
                assert other.fileno() == spare
                with no_descriptor_left(spare + 1), pytest.raises(BlockingIOError):
                    listener.accept()
                other.write("is still open")
            with closing(listener.accept()[0]) as accepted:
                assert accepted.getpeername()

    asyncio.run(scenario())


def test_the_last_descriptors_connection_is_kept_until_another_client_waits(caplog):
    async def scenario() -> None:
        with closing(listen(ApiSettings(api_port=0))) as listener, contextlib.ExitStack() as clients:
            connections, cut = Connections(10, 10), []
            listener.prepare(connections)
            listener.setblocking(False)
            clients.enter_context(socket.create_connection(listener.getsockname()))
            accepted, peer = listener.accept()
            with closing(accepted):
                connections.place_of(peer).cut = lambda: cut.append(peer)
                # The kernel says so too where no client waits.
                with no_descriptor_left(100), pytest.raises(BlockingIOError):
                    listener.accept()
                assert (cut, caplog.records) == ([], [])
                clients.enter_context(socket.create_connection(listener.getsockname()))
                with no_descriptor_left(100), pytest.raises(BlockingIOError):
                    listener.accept()
                assert cut == [peer]
                assert ["cannot be accepted" in record.getMessage() for record in caplog.records] == [True]

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_an_error(host):
    with pytest.raises(OSError, match=r".+"):
        listen(ApiSettings(api_host=host, api_port=0))


@pytest.mark.parametrize(
    ("host", "given", "warned"),
    [
        ("0.0.0.0", {}, True),
        ("::", {"basic_auth_password": "password"}, True),
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("0.0.0.0", {"basic_auth_password": "another"}, False),
        # with a file of users the default opens nothing, unless it was set on purpose
        ("0.0.0.0", {"basic_auth_users_file": "users"}, False),
        ("0.0.0.0", {"basic_auth_users_file": "users", "basic_auth_password": "password"}, True),
        # a container listens on all addresses, and is reached where its port is published
        ("0.0.0.0", {"api_published_host": "127.0.0.1"}, False),
        ("0.0.0.0", {"api_published_host": "::1"}, False),
        ("0.0.0.0", {"api_published_host": "[::1]"}, False),
        ("0.0.0.0", {"api_published_host": "192.0.2.1"}, True),
        ("0.0.0.0", {"api_published_host": "0.0.0.0"}, True),
    ],
)
def test_well_known_credentials_are_warned_of_where_others_can_use_them(caplog, host, given, warned):
    warn_of_default_credentials(ApiSettings(**given), host)
    assert ["well-known default" in record.getMessage() for record in caplog.records] == [True] * warned
