"""The guarded session connects to real servers and follows redirects, where that is allowed."""

import socket
import ssl

import pytest
import requests

from common.errors import ErrorCode, JobError, PermanentError, UnlikelyError
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.failures import reason
from common.outbound.guarded_session import OutboundNetwork
from common.waiting import DeadlineExceeded, deadline_check
from tests.support.common.outbound.guarded import answering, fetch, go_on, trusting
from tests.support.http_server import (
    ScriptedServer,
    raw,
    redirect,
    serve,
    serve_chunked,
    stall,
)
from tests.support.paths import TLS

pytestmark = pytest.mark.network


@pytest.fixture
def server():
    with ScriptedServer() as server:
        server.on("/song.wav", serve(b"song"))
        yield server


@pytest.fixture
def inside():
    """A server that nobody may reach: it must see no connection."""
    with ScriptedServer() as inside:
        inside.on("/secret", serve(b"secret"))
        yield inside
        assert inside.connections == 0


def open_ports(server: ScriptedServer) -> AddressPolicy:
    return AddressPolicy(frozenset({80, 443, server.port}))


def blocked(url: str, network: OutboundNetwork, kind: type[JobError] = PermanentError) -> None:
    with pytest.raises(kind) as caught:
        fetch(url, network)
    assert caught.value.code == ErrorCode.ADDRESS_BLOCKED


class TestWhereItConnects:
    def test_a_trusted_origin_is_reached(self, server):
        assert fetch(server.url + "/song.wav", trusting(server.origin)) == (200, b"song")

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0"])
    def test_a_literal_leads_nowhere_inside(self, inside, host):
        blocked(f"http://{host}:{inside.port}/secret", OutboundNetwork(open_ports(inside)))

    @pytest.mark.parametrize(
        "answer",
        [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "168.63.129.16",
        ],
    )
    def test_a_name_leads_nowhere_inside(self, inside, answer):
        resolve, asked = answering(answer)
        blocked(
            f"http://song.test:{inside.port}/secret",
            OutboundNetwork(open_ports(inside), resolve, refusal_step_s=0),
            UnlikelyError,
        )
        assert asked == ["song.test"]

    @pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]"])
    def test_a_trusted_address_is_the_same_however_it_is_written(self, host):
        port = _closed_port()
        # Not a PermanentError: the connection was allowed, and nobody listened.
        with pytest.raises(requests.ConnectionError):
            fetch(f"http://{host}:{port}/song.wav", trusting(f"http://[::1]:{port}"))

    def test_one_private_answer_spoils_all(self, inside):
        resolve, _ = answering("127.0.0.1", "1.1.1.1")
        blocked(
            f"http://song.test:{inside.port}/secret",
            OutboundNetwork(open_ports(inside), resolve, refusal_step_s=0),
            UnlikelyError,
        )
        resolve, _ = answering("1.1.1.1", "127.0.0.1")
        blocked(
            f"http://song.test:{inside.port}/secret",
            OutboundNetwork(open_ports(inside), resolve, refusal_step_s=0),
            UnlikelyError,
        )

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_leads_nowhere_inside(self, server, inside, status):
        server.on("/go", redirect(f"{inside.url}/secret", status))
        policy = AddressPolicy(frozenset({inside.port}), frozenset({parse_origin(server.origin)}))
        blocked(server.url + "/go", OutboundNetwork(policy))

    def test_a_redirect_to_a_name_that_leads_inside_is_blocked(self, server, inside):
        server.on("/go", redirect(f"http://inside.test:{inside.port}/secret"))
        policy = AddressPolicy(frozenset({inside.port}), frozenset({parse_origin(server.origin)}))
        resolve, asked = answering("127.0.0.1")
        blocked(
            server.url + "/go",
            OutboundNetwork(policy, _literals_or(resolve), refusal_step_s=0),
            UnlikelyError,
        )
        assert asked == ["inside.test"]

    def test_a_name_is_looked_up_once_so_a_second_answer_changes_nothing(self, server, inside):
        answers = [["127.0.0.1"], ["127.0.0.2"]]
        origin = f"http://song.test:{server.port}"
        network = trusting(origin, resolve=lambda host, port: answers.pop(0))
        assert fetch(origin + "/song.wav", network) == (200, b"song")
        assert answers == [["127.0.0.2"]]

    def test_the_server_sees_the_name_it_was_asked_by(self, server):
        origin = f"http://song.test:{server.port}"
        resolve, _ = answering("127.0.0.1")
        fetch(origin + "/song.wav", trusting(origin, resolve=resolve))
        assert server.requests()[0].headers["host"] == f"song.test:{server.port}"

    def test_an_address_that_does_not_answer_leaves_time_for_the_next(self, server):
        origin = f"http://song.test:{server.port}"
        resolve, _ = answering("127.0.0.9", "127.0.0.1")
        assert fetch(origin + "/song.wav", trusting(origin, resolve=resolve)) == (200, b"song")

    def test_proxies_and_passwords_of_the_environment_are_not_used(
        self, server, inside, tmp_path, monkeypatch
    ):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login user password s3cret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, inside.origin)
        assert fetch(server.url + "/song.wav", trusting(server.origin)) == (200, b"song")
        assert "authorization" not in server.requests()[0].headers

    def test_only_identity_encoding_is_asked_for(self, server):
        fetch(server.url + "/song.wav", trusting(server.origin))
        assert server.requests()[0].headers["accept-encoding"] == "identity"


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _literals_or(resolve):
    return lambda host, port: [host] if host[0].isdigit() else resolve(host, port)


class TestRedirects:
    def test_five_are_followed_and_six_are_not(self, server):
        for n in range(6):
            server.on(f"/{n}", redirect(f"/{n + 1}"))
        server.on("/6", serve(b"end"))
        network = trusting(server.origin)
        assert fetch(server.url + "/1", network) == (200, b"end")
        with pytest.raises(PermanentError, match="more than 5 redirects") as caught:
            fetch(server.url + "/0", network)
        assert caught.value.code == ErrorCode.HTTP_ERROR

    def test_a_redirect_with_an_endless_body_is_not_read(self, server):
        def endless():
            while True:
                yield b"x" * 65536

        body = serve_chunked(endless())

        def script(request, connection):
            connection.send(b"HTTP/1.1 302 Found\r\nLocation: /song.wav\r\n")
            connection.send(b"Transfer-Encoding: chunked\r\n\r\n")
            body(request, connection)

        server.on("/go", script)
        assert fetch(server.url + "/go", trusting(server.origin)) == (200, b"song")

    @pytest.mark.parametrize(
        "location",
        [
            "http://[",
            "ftp://example.com/",
            "http://u:p@example.com/",
            "file:///etc/passwd",
            "http://a:99999/",
        ],
    )
    def test_one_to_no_address_is_invalid(self, server, location):
        server.on("/go", redirect(location))
        with pytest.raises(PermanentError) as caught:
            fetch(server.url + "/go", trusting(server.origin))
        assert caught.value.code == ErrorCode.ADDRESS_INVALID

    def test_one_in_utf8_finds_its_target(self, server):
        server.on("/go", raw("HTTP/1.1 302 Found\r\nLocation: /pièce.wav\r\n\r\n".encode()))
        server.on("/pi%C3%A8ce.wav", serve(b"piece"))
        assert fetch(server.url + "/go", trusting(server.origin)) == (200, b"piece")

    def test_cookies_of_a_redirect_are_kept_for_the_next(self, server):
        server.on(
            "/go", serve(b"", 302, headers=[("Location", "/song.wav"), ("Set-Cookie", "seen=1; Path=/")])
        )
        fetch(server.url + "/go", trusting(server.origin))
        assert server.requests("/song.wav")[0].headers["cookie"] == "seen=1"


class TestTLS:
    @pytest.fixture
    def names(self):
        return []

    @pytest.fixture
    def server(self, names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "song.test.pem")
        context.sni_callback = lambda sock, name, ctx: names.append(name)
        with ScriptedServer(tls=context) as server:
            server.on("/song.wav", serve(b"song" * 100_000))
            server.on("/stall", stall())
            yield server

    def network(self, server, name="song.test", **kwargs):
        resolve, _ = answering("127.0.0.1")
        return trusting(f"https://{name}:{server.port}", resolve=resolve, **kwargs)

    def test_the_certificate_is_checked_for_the_name(self, server, names):
        network = self.network(server, ca_file=str(TLS / "authority.pem"))
        assert fetch(f"https://song.test:{server.port}/song.wav", network) == (200, b"song" * 100_000)
        assert names == ["song.test"]

    def test_a_private_authority_counts_beside_the_public_ones(self, server, monkeypatch):
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(TLS / "authority.pem"))
        network = self.network(server, ca_file=TLS / "kafka-authority.pem")
        assert fetch(f"https://song.test:{server.port}/song.wav", network) == (200, b"song" * 100_000)

    def test_a_certificate_that_is_its_own_authority_can_be_named(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "self-signed.pem")
        with ScriptedServer(tls=context) as server:
            server.on("/song.wav", serve(b"song"))
            network = self.network(server, ca_file=TLS / "self-signed.pem")
            assert fetch(f"https://song.test:{server.port}/song.wav", network) == (200, b"song")

    def test_a_certificate_for_another_name_is_refused(self, server):
        network = self.network(server, "other.test", ca_file=str(TLS / "authority.pem"))
        with pytest.raises(requests.exceptions.SSLError) as caught:
            fetch(f"https://other.test:{server.port}/song.wav", network)
        assert "certificate" in reason(caught.value)

    def test_a_certificate_of_an_unknown_authority_is_refused(self, server):
        with pytest.raises(requests.exceptions.SSLError):
            fetch(f"https://song.test:{server.port}/song.wav", self.network(server))

    def test_a_stall_ends_at_the_deadline(self, server):
        network = self.network(server, ca_file=str(TLS / "authority.pem"))
        with pytest.raises(DeadlineExceeded):
            fetch(f"https://song.test:{server.port}/stall", network, deadline_check(0.2, go_on))

    def test_a_handshake_that_never_comes_ends_at_the_deadline(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            resolve, _ = answering("127.0.0.1")
            network = trusting(f"https://song.test:{port}", resolve=resolve)
            with pytest.raises(DeadlineExceeded):
                fetch(f"https://song.test:{port}/", network, deadline_check(0.2, go_on))
