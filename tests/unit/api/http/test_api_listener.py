"""The listening socket: answers leave at once, and a port that is taken is an error."""

import socket
from contextlib import closing

import pytest

from api.http.listener import listen, warn_of_default_credentials
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
