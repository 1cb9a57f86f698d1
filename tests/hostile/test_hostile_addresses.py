"""Addresses that lead inside, however they are given: one code each, and no connection is even tried."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from common.errors import ErrorCode, JobError, PermanentError, UnlikelyError
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.common.outbound.hostile_addresses import INSIDE, TEXTS
from tests.support.http_server import ScriptedServer, raw
from tests.support.sockets import Internet, connections
from uploader.webhook import Refused, deliver

pytestmark = pytest.mark.network

PUBLIC = "93.184.216.34"
# The others are paths when a redirect leads there, or their spaces and line ends are no part of the header.
ABSOLUTE = [
    (text, code) for text, code in TEXTS if re.match(r"(https?://[^/?#]|(?!https?:)\w+:)[^\n]*$", text)
]
LIMITS = DownloadLimits(max_bytes=1 << 20, deadline_s=60)


@pytest.fixture(scope="module")
def server():
    """The host behind the name public.test, as far as the guard can tell."""
    with ScriptedServer() as server:
        yield server


def go_on() -> None:
    """No job is cancelled here."""


def internet(server: ScriptedServer, answers: Sequence[str] = ()) -> OutboundNetwork:
    """Where public.test is the server, and inside.test is at `answers`."""
    web = Internet({"public.test": [[PUBLIC]], "inside.test": [answers]}, {PUBLIC: server.port})
    policy = AddressPolicy(frozenset({80, 443, 8080}))
    return OutboundNetwork(policy, web.resolve, connect=web.connect, refusal_step_s=0)


def fetched(
    directory: Path, network: OutboundNetwork, url: str, kind: type[JobError] = PermanentError
) -> ErrorCode:
    """The code, once it is sure that it is for good, or as good as that, and that no file was left."""
    with pytest.raises(kind) as caught:
        download(url, directory, LIMITS, network, go_on)
    assert list(directory.iterdir()) == []
    return caught.value.code


def fetched_by_name(directory: Path, network: OutboundNetwork, url: str) -> ErrorCode:
    return fetched(directory, network, url, UnlikelyError)


def called(network: OutboundNetwork, url: str) -> ErrorCode:
    answer = deliver(url, b"{}", "id", (), network, go_on, 60)
    assert isinstance(answer, Refused)
    return answer.error.code


def location(server: ScriptedServer, target: str) -> str:
    """An address of the server that redirects to `target`."""
    server.on("/go", raw(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n".encode()))
    return "http://public.test/go"


@pytest.mark.parametrize(("host", "address"), INSIDE)
class TestWhatLeadsInside:
    def test_is_blocked_when_it_is_given(self, server, tmp_path, host, address):
        with connections() as tried:
            assert fetched(tmp_path, internet(server), f"http://{host}/song.wav") == "address_blocked"
            assert called(internet(server), f"http://{host}/hook") == "address_blocked"
        assert tried == []

    def test_is_blocked_when_a_name_is_there(self, server, tmp_path, host, address):
        network = internet(server, [address])
        with connections() as tried:
            assert fetched_by_name(tmp_path, network, "http://inside.test/song.wav") == "address_blocked"
            assert called(network, "https://inside.test:8080/hook") == "address_blocked"
        assert tried == []

    def test_is_blocked_when_a_redirect_leads_there(self, server, tmp_path, host, address):
        with connections() as tried:
            url = location(server, f"http://{host}/song.wav")
            assert fetched(tmp_path, internet(server), url) == "address_blocked"
            url = location(server, "http://inside.test/song.wav")
            assert fetched_by_name(tmp_path, internet(server, [address]), url) == "address_blocked"
        assert tried == [("127.0.0.1", server.port)] * 2

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_is_blocked_among_public_ones(self, server, tmp_path, host, address, place):
        answers = [PUBLIC, "2606:4700::1111"]
        answers.insert(place, address)
        with connections() as tried:
            network = internet(server, answers)
            assert fetched_by_name(tmp_path, network, "http://inside.test/song.wav") == "address_blocked"
        assert tried == []


@pytest.mark.parametrize(("text", "code"), TEXTS, ids=[ascii(text)[:40] for text, _ in TEXTS])
def test_a_text_that_is_no_address_of_ours_is_refused(server, tmp_path, text, code):
    with connections() as tried:
        assert fetched(tmp_path, internet(server, ["10.0.0.1"]), text) == code
        assert called(internet(server, ["10.0.0.1"]), text) == code
    assert tried == []


@pytest.mark.parametrize(("text", "code"), ABSOLUTE, ids=[ascii(text)[:40] for text, _ in ABSOLUTE])
def test_a_redirect_to_what_is_no_address_of_ours_is_refused(server, tmp_path, text, code):
    with connections() as tried:
        assert fetched(tmp_path, internet(server, ["10.0.0.1"]), location(server, text)) == code
    assert tried == [("127.0.0.1", server.port)]


class TestANameThatAnswersPublicFirst:
    """DNS rebinding: the check and the connection, or two connections, see different answers."""

    def network(self, server: ScriptedServer, then: str) -> tuple[OutboundNetwork, Internet]:
        web = Internet({"public.test": [[PUBLIC], [then]]}, {PUBLIC: server.port})
        return OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect), web

    def test_is_connected_to_where_it_answered(self, server, tmp_path):
        server.on("/song.wav", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsong"))
        network, web = self.network(server, "127.0.0.1")
        file = download("http://public.test/song.wav", tmp_path, LIMITS, network, go_on)
        assert (file.size_bytes, web.asked) == (4, ["public.test"])

    @pytest.mark.parametrize("then", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0"])
    def test_is_judged_again_on_a_redirect_to_itself(self, server, tmp_path, then):
        network, web = self.network(server, then)
        with connections() as tried:
            url = location(server, "http://public.test/song.wav")
            assert fetched_by_name(tmp_path, network, url) == "address_blocked"
        assert web.asked == ["public.test", "public.test"]
        assert tried == [("127.0.0.1", server.port)]

    def test_is_judged_again_for_the_next_job(self, server, tmp_path):
        server.on("/song.wav", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsong"))
        network, _ = self.network(server, "10.0.0.1")
        download("http://public.test/song.wav", tmp_path, LIMITS, network, go_on).path.unlink()
        assert fetched_by_name(tmp_path, network, "http://public.test/song.wav") == "address_blocked"


@pytest.mark.parametrize("answer", ["nonsense", "", "1.2.3", "2001:db8::1::2"])
def test_an_answer_that_is_no_address_is_never_connected_to(server, tmp_path, answer):
    with connections() as tried, pytest.raises(JobError):
        download("http://inside.test/song.wav", tmp_path, LIMITS, internet(server, [answer]), go_on)
    assert tried == []


class TestWhatAnErrorSays:
    @pytest.mark.parametrize(
        "url",
        [
            "http://user:s3cret@public.test℀/",
            "http://user:s3cret@public.test：80/",
            "http://user:s3cret@[::1/",
            "http://user:s3cret@public.test:port/",
            "http://s3cret]/",
            "http://public.test/s3cret\x00",
            "ftp://user:s3cret@public.test/",
        ],
    )
    def test_it_repeats_no_password(self, tmp_path, caplog, server, url):
        for refused in (self.download_error, self.callback_error):
            assert "s3cret" not in refused(tmp_path, internet(server), url).message
        assert "s3cret" not in caplog.text

    def download_error(self, directory: Path, network: OutboundNetwork, url: str) -> JobError:
        with pytest.raises((PermanentError, UnlikelyError)) as caught:
            download(url, directory, LIMITS, network, go_on)
        return caught.value

    def callback_error(self, directory: Path, network: OutboundNetwork, url: str) -> JobError:
        answer = deliver(url, b"{}", "id", (), network, go_on, 60)
        assert isinstance(answer, Refused)
        return answer.error

    @pytest.mark.parametrize("ask", [download_error, callback_error], ids=["download", "callback"])
    def test_it_does_not_tell_where_a_name_is(self, tmp_path, server, ask: Callable):
        error = ask(self, tmp_path, internet(server, ["10.11.12.13"]), "http://inside.test/")
        assert "inside.test" in error.message
        assert "10.11.12" not in error.message
