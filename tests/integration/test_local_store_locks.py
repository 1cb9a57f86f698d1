"""Tests that no user of the machine can change the local store through any port without its keys."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import store_locks
from tests.support.local.checkout import ODD_NAME
from tests.support.servers import SeaweedServer

pytestmark = pytest.mark.network

STEM = b"the stem as it was uploaded"
# These bytes open an HTTP/2 connection, which each gRPC call needs. A server answers with its settings.
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = 4
GRPC_PARTS = ("s3_grpc", "master_grpc", "volume_grpc", "filer_grpc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path_factory.mktemp("locks") / ODD_NAME)
    try:
        server.start()
        server.address.client().put_object(Bucket=server.address.bucket, Key="1/vocals.wav", Body=STEM)
        yield server
    finally:
        server.kill()


def port(server: SeaweedServer, part: str) -> int:
    names = ("s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")
    return dict(zip(names, server.spec.inner_ports, strict=True))[part]


def stem(server: SeaweedServer) -> bytes:
    return server.address.client().get_object(Bucket=server.address.bucket, Key="1/vocals.wav")["Body"].read()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "GET", "HEAD", "PATCH"])
def test_the_filer_takes_and_gives_nothing_over_http(server, method):
    path = f"/buckets/{server.address.bucket}/1/vocals.wav"
    status, answer = ask(port(server, "filer"), method, path, None if method in ("GET", "HEAD") else b"evil")
    assert status in (401, 404, 405), answer
    assert STEM not in answer
    assert stem(server) == STEM


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/submit"),
        ("GET", "/dir/assign?collection=uvr-test"),
        ("GET", "/vol/grow?count=1"),
        ("GET", "/vol/vacuum"),
        ("GET", "/col/delete?collection=uvr-test"),
        ("POST", "/col/delete?collection=uvr-test"),
    ],
)
def test_the_master_does_nothing_for_anybody_over_http(server, method, path):
    status, answer = ask(port(server, "master"), method, path, b"evil" if method == "POST" else None)
    assert status in (401, 403, 404, 405), answer
    assert stem(server) == STEM


def chunks(server: SeaweedServer) -> list[int]:
    """Returns the ids of the volumes, from the names of their files."""
    return [int(file.stem.rpartition("_")[2]) for file in (server.spec.data_dir / "data").glob("*.dat")]


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "GET"])
def test_a_volume_takes_and_gives_nothing_without_a_key(server, method):
    for volume in chunks(server):
        for path in (f"/{volume},0100000000", f"/{volume}/0100000000/x"):
            status, answer = ask(port(server, "volume"), method, path, b"evil" if method != "GET" else None)
            assert status == 401, answer
    assert stem(server) == STEM


def test_no_part_speaks_grpc_in_plain_text(server):
    for part in GRPC_PARTS:
        with socket.create_connection(("127.0.0.1", port(server, part)), timeout=20) as connection:
            assert not speaks_grpc(connection), part


def test_no_part_speaks_grpc_with_who_has_no_certificate_of_the_store(server, tmp_path):
    stranger = store_locks.make_certificates()
    (tmp_path / "both.pem").write_text(stranger.key + stranger.certificate)
    own = server.spec.data_dir
    for part in GRPC_PARTS:
        assert not speaks_over_tls(port(server, part), None), part
        assert not speaks_over_tls(port(server, part), (tmp_path / "both.pem", None)), part
        # The same call with the store's own files succeeds, so the certificate is what is refused.
        assert speaks_over_tls(port(server, part), (own / "certificate.pem", own / "key.pem")), part


def speaks_over_tls(port: int, certificate: tuple[Path, Path | None] | None) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(*certificate)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with context.wrap_socket(plain) as connection:
                return speaks_grpc(connection)
        except ssl.SSLError:
            return False


def speaks_grpc(connection: socket.socket) -> bool:
    """Returns True if the server accepts the start of a call, and False if it closes the connection."""
    try:
        connection.sendall(HTTP2_HELLO)
        head = connection.recv(9)
    except (ssl.SSLError, ConnectionError):
        return False
    return len(head) == 9 and head[3] == HTTP2_SETTINGS
