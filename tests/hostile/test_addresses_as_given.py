"""Hosts that sign the very bytes of an address: each address of a user arrives as it was given."""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, unquote

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from common.errors import JobError
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import DownloadedFile, download
from processor.audio.transfer import DownloadLimits
from tests.support.common.outbound.raw_targets import AS_GIVEN
from tests.support.http_server import Connection, Request, ScriptedServer, raw, redirect, serve
from tests.support.processor.downloads import go_on
from tests.support.sockets import Internet
from uploader.webhook import Delivered, deliver

pytestmark = pytest.mark.network

PUBLIC = "93.184.216.34"
LIMITS = DownloadLimits(max_bytes=1000, deadline_s=60)
HEADERS = {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def network(server):
    web = Internet({"public.test": [[PUBLIC]], "other.test": [[PUBLIC]]}, {PUBLIC: server.port})
    return OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)


@pytest.fixture
def fetch(network, tmp_path):
    def fetch(url: str) -> DownloadedFile:
        return download(url, tmp_path, LIMITS, network, go_on)

    return fetch


def path_of(target: str) -> str:
    return target.partition("?")[0]


@pytest.mark.parametrize("target", AS_GIVEN)
class TestAnAddressArrivesAsGiven:
    def test_as_audio(self, server, fetch, target):
        server.on(path_of(target), serve(b"song"))
        assert fetch(f"http://public.test{target}").size_bytes == 4
        (request,) = server.requests()
        assert request.target == target
        assert request.headers.keys() <= HEADERS

    def test_as_hook_url(self, server, network, target):
        server.on(path_of(target), serve(b"", 204))
        answer = deliver(f"http://public.test{target}", b"{}", "id", (), network, go_on, 60)
        assert answer == Delivered(204)
        (request,) = server.requests()
        assert (request.target, request.body) == (target, b"{}")

    @pytest.mark.parametrize("form", ["http://other.test{}", "//other.test{}"])
    def test_in_a_redirect_to_an_address(self, server, fetch, target, form):
        server.on("/go-first", redirect(form.format(target)))
        server.on(path_of(target), serve(b"song"))
        assert fetch("http://public.test/go-first").size_bytes == 4
        assert [request.target for request in server.requests()] == ["/go-first", target]


# After two slashes comes a host.
@pytest.mark.parametrize("target", [target for target in AS_GIVEN if not target.startswith("//")])
def test_a_path_that_a_redirect_names_arrives_as_given(server, fetch, target):
    server.on("/go-first", redirect(target))
    server.on(path_of(target), serve(b"song"))
    assert fetch("http://public.test/go-first").size_bytes == 4
    assert [request.target for request in server.requests()] == ["/go-first", target]


def test_a_redirect_in_bytes_that_are_no_utf8_is_asked_for_in_those_bytes(server, fetch):
    server.on("/go", raw(b"HTTP/1.1 302 Found\r\nLocation: /pi\xe8ce%e8.wav\r\nContent-Length: 0\r\n\r\n"))
    server.on("/pi%E8ce%e8.wav", serve(b"song"))
    assert fetch("http://public.test/go").size_bytes == 4


@pytest.mark.parametrize(
    "evil",
    [
        "/a HTTP/1.1",
        "/a\u00a0HTTP/1.1",
        "/a\u200b\u2060b",
        "/a?b c",
        "/a?\u3000x",
        "/\ufeffa",
        "/\u560a\u560dHost:inside.test",  # whose low bytes are line ends
        "/\u0120HTTP/1.1",  # whose low byte is a space
        "/%0d%0a%0d%0aGET%20/second",
    ],
)
def test_no_address_makes_a_second_request_or_another_header(server, fetch, evil):
    sent = quote(evil, safe="/%?:")
    server.on(path_of(sent), serve(b"song"))
    assert fetch(f"http://public.test{evil}").size_bytes == 4
    (request,) = server.requests()
    assert request.target == sent
    assert request.headers.keys() <= HEADERS
    assert request.headers["host"] == "public.test"


# Hosts that give addresses away for a time


KEY = b"the host's own key"


def signed(target: str) -> str:
    """As a host signs that takes the address for what it is: its bytes."""
    mark = "&" if "?" in target else "?"
    return f"{target}{mark}sig={hmac.new(KEY, target.encode(), hashlib.sha256).hexdigest()}"


def checking_bytes(request: Request, connection: Connection) -> None:
    target, _, given = request.target.rpartition("sig=")
    wanted = hmac.new(KEY, target[:-1].encode(), hashlib.sha256).hexdigest()
    serve(b"song", 200 if hmac.compare_digest(given, wanted) else 403)(request, connection)


@pytest.mark.parametrize("target", AS_GIVEN)
def test_a_signature_of_the_bytes_holds(server, fetch, network, target):
    url = f"http://public.test{signed(target)}"
    server.on(path_of(target), checking_bytes)
    assert fetch(url).size_bytes == 4
    assert deliver(url, b"{}", "id", (), network, go_on, 60) == Delivered(200)


CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
SONGS = ["song.wav", "a~b/[2020] (1)!.wav", "100% ä+b&c=d;e'f.wav", "a//b/../c/./d.wav", "%7e%2F.wav"]


def presigned(key: str) -> str:
    """As the SDKs presign (Signature Version 4; Google's is the same with other names)."""
    request = AWSRequest("GET", f"http://public.test/bucket/{quote(key, safe='/~')}")
    S3SigV4QueryAuth(CREDENTIALS, "s3", "us-east-1", expires=600).add_auth(request)
    return request.url


def checking_aws(request: Request, connection: Connection) -> None:
    """As a store checks one: from what has arrived, its own secret, and nothing else."""
    path, _, query = request.target.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    signature = given.pop("X-Amz-Signature")
    canonical_query = "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in sorted(given.items()))
    canonical = f"GET\n{path}\n{canonical_query}\nhost:{request.headers['host']}\n\nhost\nUNSIGNED-PAYLOAD"
    date, region, service, end = given["X-Amz-Credential"].split("/")[1:]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{date}/{region}/{service}/{end}"
    to_sign = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{CREDENTIALS.secret_key}".encode()
    for part in (date, region, service, end):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    wanted = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    serve(b"song", 200 if hmac.compare_digest(signature, wanted) else 403)(request, connection)


@pytest.mark.parametrize("song", SONGS)
@pytest.mark.parametrize("spelled", ["as the SDK has it", "in small hex digits"])
def test_an_address_that_aws_presigned_is_answered(server, fetch, song, spelled):
    url = presigned(song)
    if spelled == "in small hex digits":
        # A program between us and the SDK may have written the query anew; the store reads it all the same.
        path, _, query = url.partition("?")
        url = f"{path}?{query.replace('%2F', '%2f')}"
    server.on(path_of(url.removeprefix("http://public.test")), checking_aws)
    assert fetch(url).size_bytes == 4


def test_a_forged_one_is_not(server, fetch):
    url = presigned("song.wav")
    server.on("/bucket/song.wav", checking_aws)
    with pytest.raises(JobError, match="HTTP error: 403"):
        fetch(url.replace("X-Amz-Expires=600", "X-Amz-Expires=601"))


def azure_sas(target: str) -> str:
    """A shared access signature: base64, whose characters are escaped, in small digits by some libraries."""
    return f"{target}?sv=2024-11-04&se=2030-01-01T00%3a00%3a00Z&sr=b&sp=r&sig=a%2bb%2Fc%2f%3d%3D"


@pytest.mark.parametrize("target", ["/c/song.wav", "/c/a%20b%7e[1].wav", "/$root/a$b.wav"])
def test_an_azure_sas_arrives_with_its_escapes(server, fetch, target):
    def script(request: Request, connection: Connection) -> None:
        same = request.target == azure_sas(target)
        assert unquote(request.target).endswith("sig=a+b/c/==")
        serve(b"song", 200 if same else 403)(request, connection)

    server.on(target, script)
    assert fetch(f"http://public.test{azure_sas(target)}").size_bytes == 4
