"""Downloads that fail: each error has its own code and message, and nothing is left on disk."""

import itertools
import shutil
import threading
from pathlib import Path

import pytest

from common.errors import Cancelled, ErrorCode, PermanentError, TransientError
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.transfer import Clocks, DownloadLimits
from tests.support.http_server import (
    ScriptedServer,
    drip,
    drip_headers,
    raw,
    reset,
    serve,
    serve_chunked,
    stall,
)
from tests.support.processor.downloads import LIMITS, MB, Downloads, go_on

pytestmark = pytest.mark.network


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path, caplog):
    return Downloads(server, tmp_path, caplog)


class TestHTTPErrors:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 204, 206, 304, 300])
    def test_a_status_that_stays_is_permanent_with_its_number(self, server, fetch, status):
        server.on("/song.wav", serve(b"", status))
        error = fetch.failing("/song.wav")
        assert isinstance(error, PermanentError)
        assert (error.code, str(error)) == (ErrorCode.HTTP_ERROR, f"HTTP error: {status}")

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
    def test_a_status_that_passes_is_transient_with_its_number(self, server, fetch, status):
        server.on("/song.wav", serve(b"", status))
        error = fetch.failing("/song.wav")
        assert isinstance(error, TransientError)
        assert (error.code, str(error)) == (ErrorCode.HTTP_ERROR, f"HTTP error: {status}")
        assert error.retry_after_s is None

    @pytest.mark.parametrize("value", ["90", "Thu, 01 Jan 1970 00:03:10 GMT"])
    def test_retry_after_is_handed_on(self, server, fetch, value):
        server.on("/song.wav", serve(b"", 503, headers=[("Retry-After", value)]))
        error = fetch.failing("/song.wav", clocks=Clocks(wall=lambda: 100.0))
        assert error.retry_after_s == 90

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x-unknown"])
    def test_an_encoding_that_was_not_asked_for_is_refused(self, server, fetch, encoding):
        server.on("/song.wav", serve(b"song", headers=[("Content-Encoding", encoding)]))
        error = fetch.failing("/song.wav")
        assert isinstance(error, PermanentError)
        assert (error.code, encoding in str(error)) == (ErrorCode.HTTP_ERROR, True)


def test_what_a_server_says_cannot_forge_a_line_of_the_log(server, fetch, caplog):
    server.on("/song.wav", raw(b"HTTP/1.1 200 OK\r\nContent-Type: a\r\n\tforged line\r\n\r\nsong"))
    fetch("/song.wav")
    server.on("/song.wav", raw(b"HTTP/1.1 99999 OK\x0b\x1b[2J forged\r\n\r\n"))
    fetch.failing("/song.wav")
    assert all(line.isprintable() for line in fetch.lines())


class TestTimeouts:
    @pytest.mark.parametrize(
        "script",
        [stall(), stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")],
        ids=["no answer", "body"],
    )
    def test_silence_is_a_timeout(self, server, fetch, script):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav", DownloadLimits(MB, deadline_s=60, timeout_s=0.2))
        assert isinstance(error, TransientError)
        assert (error.code, str(error)) == (ErrorCode.DOWNLOAD_TIMEOUT, "Download timeout after 0.2 seconds")

    @pytest.mark.parametrize(
        "script",
        [drip(b"x" * MB, seconds=600), drip_headers(0.02), drip(b"x" * MB, seconds=600, with_length=False)],
        ids=["body", "headers", "body without length"],
    )
    def test_a_dripping_server_ends_at_the_deadline(self, server, fetch, script):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav", DownloadLimits(8 * MB, deadline_s=0.2))
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.DOWNLOAD_TIMEOUT
        assert str(error) == "Download took longer than 0.2 seconds in all (DOWNLOAD_DEADLINE_S)"

    def test_a_cancelled_download_of_a_stalled_server_ends_and_leaves_nothing(self, server, fetch):
        server.on("/song.wav", stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"))
        cancelled = threading.Event()

        def check() -> None:
            if (fetch.directory / "input.wav").exists():
                cancelled.set()
                raise Cancelled

        with pytest.raises(Cancelled):
            fetch("/song.wav", DownloadLimits(MB, deadline_s=3600, timeout_s=3600), check)
        assert cancelled.is_set()
        assert list(fetch.directory.iterdir()) == []
        assert fetch.lines()[-1] == "Cleaned up partial download"


class TestNetworkErrors:
    @pytest.mark.parametrize(
        ("script", "expected"),
        [
            (reset(), "Network error: Connection reset by peer"),
            (raw(b""), "Network error: Remote end closed connection without response"),
            (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "Network error: the answer is not HTTP"),
            (serve(b"song", declared_bytes=100), "Network error: the answer ended too early"),
            (reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsong"), None),
            (serve_chunked([b"song"], end=False), None),
            (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nsong\r\n0\r\n\r\n"), None),
            (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), None),
            (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"), None),
            (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nsong"), None),
        ],
        ids=[
            "reset",
            "closed",
            "no HTTP",
            "short",
            "reset in the body",
            "no last chunk",
            "bad chunk",
            "long header",
            "many headers",
            "two lengths",
        ],
    )
    def test_a_broken_exchange_is_transient_and_says_what_broke(self, server, fetch, script, expected):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav")
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.NETWORK_ERROR
        assert str(error).startswith("Network error: ")
        assert expected in (None, str(error))

    def test_a_closed_port(self, server, fetch):
        server.close()
        assert str(fetch.failing("/song.wav")) == "Network error: Connection refused"

    def test_a_partial_file_is_removed_and_the_log_says_so(self, server, fetch):
        server.on("/song.wav", serve(b"song", declared_bytes=100))
        fetch.failing("/song.wav")
        assert fetch.lines()[-1] == "Cleaned up partial download"


class TestSize:
    def test_a_length_over_the_limit_is_refused_before_a_byte_is_read(self, server, fetch):
        server.on("/song.wav", serve(b"", declared_bytes=9 * MB))
        error = fetch.failing("/song.wav")
        assert isinstance(error, PermanentError)
        assert (error.code, "MAX_AUDIO_BYTES" in str(error)) == (ErrorCode.TOO_LARGE, True)

    def test_a_length_of_thousands_of_digits_is_too_large(self, server, fetch):
        server.on("/song.wav", raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nsong"))
        assert fetch.failing("/song.wav").code == ErrorCode.TOO_LARGE

    @pytest.mark.parametrize(
        "script",
        [
            serve_chunked(itertools.repeat(b"x" * 65536)),
            serve(b"x" * 9 * MB, declared_bytes=None),
        ],
        ids=["endless chunks", "no length"],
    )
    def test_a_body_over_the_limit_is_stopped(self, server, fetch, script):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav")
        assert isinstance(error, PermanentError)
        assert error.code == ErrorCode.TOO_LARGE

    def test_exactly_the_limit_is_taken(self, server, fetch):
        server.on("/song.wav", serve(b"x" * 8 * MB))
        assert fetch("/song.wav").size_bytes == 8 * MB

    @pytest.mark.parametrize("script", [serve(b""), serve(b"", declared_bytes=None), serve_chunked([])])
    def test_nothing_at_all_is_permanent(self, server, fetch, script):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav")
        assert isinstance(error, PermanentError)
        assert error.code == ErrorCode.EMPTY_FILE


class TestDisk:
    @pytest.mark.parametrize(
        ("script", "free"),
        [(serve(b"x" * MB), MB - 1), (serve(b"x" * MB, declared_bytes=None), LIMITS.max_bytes - 1)],
        ids=["known length", "no length"],
    )
    def test_too_little_space_is_told_before_anything_is_written(self, server, fetch, script, free):
        server.on("/song.wav", script)
        error = fetch.failing("/song.wav", free_bytes=lambda directory: free)
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.DISK_FULL

    def test_enough_space_is_enough(self, server, fetch):
        server.on("/song.wav", serve(b"x" * MB))
        assert fetch("/song.wav", free_bytes=lambda directory: MB).size_bytes == MB

    def test_a_disk_that_fills_up_on_the_way_is_transient(self, server, fetch):
        server.on("/song.wav", serve(b"x" * 3 * MB))
        (fetch.directory / "input.wav").symlink_to("/dev/full")
        error = fetch.failing("/song.wav")
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.DISK_FULL
        assert Path("/dev/full").exists()

    def test_a_directory_that_is_gone_is_our_own_error(self, server, fetch):
        server.on("/song.wav", serve(b"song"))
        shutil.rmtree(fetch.directory)
        with pytest.raises(FileNotFoundError):
            fetch("/song.wav")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/song.wav", ErrorCode.ADDRESS_BLOCKED),
        ("http://user:s3cret@example.com/song.wav", ErrorCode.ADDRESS_INVALID),
        ("http://example.com/song.wav\r\nX: y", ErrorCode.ADDRESS_INVALID),
        ("http://[/song.wav", ErrorCode.ADDRESS_INVALID),
    ],
)
def test_an_address_that_is_refused_is_permanent_and_not_logged(tmp_path, caplog, url, code):
    with pytest.raises(PermanentError) as caught:
        download(url, tmp_path, LIMITS, OutboundNetwork(AddressPolicy(frozenset({80}))), go_on)
    assert caught.value.code == code
    assert url not in caplog.text
