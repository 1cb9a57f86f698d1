"""Songs and receivers under a private authority, and songs whose addresses a store has signed."""

import ssl

import pytest

from tests.support import audio
from tests.support.crash import PROCESSOR
from tests.support.http_server import ScriptedServer, serve
from tests.support.paths import TLS
from tests.support.trio import Trio


@pytest.fixture(scope="module")
def secure():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "loopback.pem")
    with ScriptedServer(tls=context) as secure:
        secure.on("/hook", serve(b"", 204))
        yield secure


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir, secure):
    trio = Trio(
        module_stack,
        kafka.bootstrap,
        s3_store,
        model_dir,
        ENGINE_SLEEP_S="0",
        OUTBOUND_CA_FILE=str(TLS / "loopback.pem"),
    )
    trio.settings["TRUSTED_URL_PREFIXES"] += f",{secure.origin},{s3_store.endpoint_url}"
    try:
        yield trio.start("api", PROCESSOR, "uploader")
    finally:
        trio.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> bytes:
    return audio.write(tmp_path_factory.mktemp("song") / "song.wav", audio.noise(1)).read_bytes()


def test_a_song_and_a_receiver_under_a_private_authority_are_reached(trio: Trio, secure, song):
    url = secure.on("/%7esongs%2f[2020]/x/../song.wav", serve(song))
    trio.submit(f"{url}?sig=%2b", f"{secure.url}/hook?")
    (callback,) = secure.wait_for_requests(1, 90, "/hook")
    assert callback.json()["status"] == "success"
    assert [request.target for request in secure.requests()] == [
        "/%7esongs%2f[2020]/x/../song.wav?sig=%2b",
        "/hook?",
    ]


@pytest.mark.parametrize(
    "key", ["songs/a~b [2020] (1)+ä&c=d;e'f.wav", "songs/100%/%7e%2F.wav", "songs/x*y!,$@:.wav"]
)
def test_an_address_that_a_real_store_presigned_is_fetched(trio: Trio, s3_store, song, key):
    client = s3_store.client()
    client.put_object(Bucket=s3_store.bucket, Key=key, Body=song)
    url = client.generate_presigned_url("get_object", {"Bucket": s3_store.bucket, "Key": key}, ExpiresIn=600)
    task = trio.submit(url)
    assert trio.wait_for_callback(task).json["status"] == "success"
