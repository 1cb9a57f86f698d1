"""Redirects and what surrounds a request: how far we follow, and what never goes along."""

import ssl

import pytest

from common.errors import ErrorCode, PermanentError
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import DownloadedFile, download
from processor.audio.transfer import DownloadLimits
from tests.support.http_server import ScriptedServer, raw, redirect, serve
from tests.support.paths import TLS
from tests.support.sockets import Internet, connections
from uploader.webhook import Delivered, Rejected, deliver

pytestmark = pytest.mark.network

PUBLIC, OTHER = "93.184.216.34", "1.1.1.1"
LIMITS = DownloadLimits(max_bytes=1 << 20, deadline_s=60)


def go_on() -> None:
    """No job is cancelled here."""


@pytest.fixture
def server():
    with ScriptedServer() as server:
        server.on("/song.wav", serve(b"song"))
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Downloads by a path of public.test, which is `server`; other.test is there too."""
    web = Internet({"public.test": [[PUBLIC]], "other.test": [[PUBLIC]]}, {PUBLIC: server.port})
    network = OutboundNetwork(AddressPolicy(frozenset({80, 443})), web.resolve, connect=web.connect)

    def fetch(path: str) -> DownloadedFile:
        return download(f"http://public.test{path}", tmp_path, LIMITS, network, go_on)

    return fetch


def test_a_sixth_hop_is_one_too_many_and_is_not_made(server, fetch):
    for hop in range(10):
        server.on(f"/{hop}", redirect(f"/{hop + 1}"))
    with pytest.raises(PermanentError, match="more than 5 redirects") as caught:
        fetch("/0")
    assert caught.value.code == ErrorCode.HTTP_ERROR
    assert [request.target for request in server.requests()] == ["/0", "/1", "/2", "/3", "/4", "/5"]


@pytest.mark.parametrize("back", ["/loop", "http://public.test/loop", "//public.test/loop", "?a", "#a"])
def test_a_loop_ends_for_good(server, fetch, back):
    server.on("/loop", redirect(back))
    with pytest.raises(PermanentError, match="more than 5 redirects") as caught:
        fetch("/loop")
    assert caught.value.code == ErrorCode.HTTP_ERROR
    assert len(server.requests()) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("line", ["", "Location:\r\n", "Location:  \r\n"])
def test_one_that_leads_nowhere_is_its_status_for_good(server, fetch, status, line):
    server.on("/go", raw(f"HTTP/1.1 {status} Moved\r\n{line}Content-Length: 0\r\n\r\n".encode()))
    with pytest.raises(PermanentError, match=f"HTTP error: {status}"):
        fetch("/go")


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
def test_other_statuses_of_3xx_are_not_followed(server, fetch, status):
    server.on("/go", redirect("/song.wav", status))
    with pytest.raises(PermanentError, match=f"HTTP error: {status}"):
        fetch("/go")
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    "target",
    [
        "song.wav",
        "/song.wav",
        "./a/../song.wav",
        "//public.test/song.wav",
        "//other.test:80/song.wav",
        "/song.wav#x",
    ],
)
def test_relative_ones_are_followed(server, fetch, target):
    server.on("/go", redirect(target))
    assert fetch("/go").size_bytes == 4


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://public.test/a", "data:,song", "javascript:x"],
)
def test_one_to_another_scheme_is_refused_without_a_connection(server, fetch, target):
    server.on("/go", redirect(target))
    with connections() as tried, pytest.raises(PermanentError) as caught:
        fetch("/go")
    assert caught.value.code == ErrorCode.ADDRESS_INVALID
    assert tried == [("127.0.0.1", server.port)]


def test_two_locations_are_no_way_to_a_third(server, fetch):
    lines = b"Location: http://public.test/song.wav\r\nLocation: http://127.0.0.1/\r\n"
    server.on("/go", raw(b"HTTP/1.1 302 Found\r\n" + lines + b"\r\n"))
    with connections() as tried, pytest.raises(PermanentError):
        fetch("/go")
    assert set(tried) == {("127.0.0.1", server.port)}


class TestFromHttpsToHttp:
    """Followed: whoever gave the https address could have given the http one, and no secret goes along."""

    @pytest.fixture
    def secure(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "song.test.pem")
        with ScriptedServer(tls=context) as secure:
            yield secure

    def test_it_is_followed_without_what_was_for_https_alone(self, server, secure, tmp_path):
        cookies = [("Set-Cookie", "token=s3cret; Secure; Path=/"), ("Set-Cookie", "open=1; Path=/")]
        target = ("Location", "http://song.test/song.wav")
        secure.on("/go", serve(b"", 302, headers=[target, *cookies]))
        answers = {"song.test": [[PUBLIC], [OTHER]]}
        web = Internet(answers, {PUBLIC: secure.port, OTHER: server.port})
        network = OutboundNetwork(
            AddressPolicy(frozenset({80, 443})), web.resolve, str(TLS / "authority.pem"), web.connect
        )
        url = "https://song.test/go?signature=s3cret"
        assert download(url, tmp_path, LIMITS, network, go_on).size_bytes == 4
        (request,) = server.requests()
        assert request.headers["cookie"] == "open=1"
        assert "s3cret" not in str(request)


def test_nothing_of_one_host_is_told_to_another(server, tmp_path):
    with ScriptedServer() as other:
        other.on("/song.wav", serve(b"song"))
        answers = {"public.test": [[PUBLIC]], "other.test": [[OTHER]]}
        web = Internet(answers, {PUBLIC: server.port, OTHER: other.port})
        network = OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)
        target = ("Location", "http://other.test/song.wav")
        server.on("/go", serve(b"", 302, headers=[target, ("Set-Cookie", "session=s3cret; Domain=test")]))
        download("http://public.test/go?signature=s3cret", tmp_path, LIMITS, network, go_on)
        (request,) = other.requests()
        assert "s3cret" not in str(request)
        assert set(request.headers) <= {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_callback_follows_none(server, status):
    server.on("/hook", redirect("/elsewhere", status))
    web = Internet({"public.test": [[PUBLIC]]}, {PUBLIC: server.port})
    network = OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)
    with connections() as tried:
        answer = deliver("http://public.test/hook", b"{}", "id", (), network, go_on, 60)
    assert isinstance(answer, Rejected)
    assert tried == [("127.0.0.1", server.port)]


def test_the_environment_has_no_say(server, fetch, tmp_path_factory, monkeypatch):
    with ScriptedServer() as proxy:
        home = tmp_path_factory.mktemp("home")
        (home / ".netrc").write_text("default login user password s3cret\n")
        (home / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("NETRC", str(home / ".netrc"))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
            monkeypatch.setenv(name.lower(), proxy.origin)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(home / "no-such-file"))
        assert fetch("/song.wav").size_bytes == 4
        web = Internet({"public.test": [[PUBLIC]]}, {PUBLIC: server.port})
        network = OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)
        server.on("/hook", serve(b""))
        answer = deliver("http://public.test/hook", b"{}", "id", (), network, go_on, 60)
        assert answer == Delivered(200)
        assert proxy.connections == 0
    assert all("authorization" not in request.headers for request in server.requests())
