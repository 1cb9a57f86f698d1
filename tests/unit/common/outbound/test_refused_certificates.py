"""A certificate that is refused is reported without secrets, and is hardly worth another try."""

import ssl

import pytest

from common.errors import ErrorCode, TransientError, UnlikelyError
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.transfer import DownloadLimits
from tests.support.common.outbound.guarded import go_on
from tests.support.http_server import ScriptedServer, serve
from tests.support.paths import TLS
from uploader.webhook import as_error, deliver

pytestmark = pytest.mark.network


def secure(certificate: str) -> ScriptedServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / certificate)
    server = ScriptedServer(tls=context)
    server.on("/song.wav", serve(b"song"))
    return server


@pytest.mark.parametrize(
    ("certificate", "authority", "name", "reason", "asks_for_authority"),
    [
        ("song.test.pem", None, "song.test", "unable to get local issuer certificate", True),
        ("self-signed.pem", None, "song.test", "self-signed certificate", True),
        ("expired.pem", "expired.pem", "song.test", "certificate has expired", False),
        ("song.test.pem", "authority.pem", "other.test", "Hostname mismatch", False),
    ],
)
def test_a_certificate_that_is_refused_is_told_and_hardly_worth_another_try(
    tmp_path, certificate, authority, name, reason, asks_for_authority
):
    with secure(certificate) as server:
        origin = f"https://{name}:{server.port}"
        policy = AddressPolicy(frozenset(), frozenset({parse_origin(origin)}))
        network = OutboundNetwork(
            policy, lambda host, port: ["127.0.0.1"], authority and str(TLS / authority)
        )
        limits = DownloadLimits(max_bytes=1000, deadline_s=30)
        with pytest.raises(UnlikelyError) as caught:
            download(f"{origin}/song.wav?sig=s3cret", tmp_path, limits, network, go_on)
        callback = as_error(deliver(f"{origin}/song.wav?sig=s3cret", b"{}", "id", (), network, go_on, 30))
        assert server.requests() == []
    assert type(callback) is UnlikelyError
    assert (caught.value.code, callback.code) == (ErrorCode.NETWORK_ERROR, ErrorCode.CALLBACK_FAILED)
    for error in (caught.value, callback):
        assert f"the host's certificate is refused: {reason}" in error.message
        assert ("OUTBOUND_CA_FILE" in error.message) is asks_for_authority
        assert "s3cret" not in error.message


@pytest.mark.slow
def test_a_handshake_that_fails_otherwise_keeps_the_usual_delays(tmp_path):
    with ScriptedServer() as plain:
        origin = f"https://song.test:{plain.port}"
        network = OutboundNetwork(
            AddressPolicy(frozenset(), frozenset({parse_origin(origin)})), lambda host, port: ["127.0.0.1"]
        )
        with pytest.raises(TransientError) as caught:
            download(f"{origin}/", tmp_path, DownloadLimits(max_bytes=1000, deadline_s=30), network, go_on)
    assert type(caught.value) is TransientError
