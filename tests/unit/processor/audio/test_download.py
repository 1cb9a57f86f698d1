"""Downloads that succeed: the whole file, under our name, with the lines people grep for."""

import itertools
import logging
import re
from dataclasses import replace

import pytest

from processor.audio.download import extension, without_secrets
from processor.audio.transfer import Clocks
from tests.support.http_server import (
    ScriptedServer,
    drip,
    redirect,
    serve,
    serve_chunked,
)
from tests.support.processor.downloads import LIMITS, MB, Downloads

pytestmark = pytest.mark.network


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path, caplog):
    return Downloads(server, tmp_path, caplog)


class TestAGoodDownload:
    def test_the_bytes_arrive_and_the_log_has_the_lines_people_grep_for(self, server, fetch):
        body = bytes(range(256)) * 4096 * 3
        server.on("/song.mp3", serve(body, content_type="audio/mpeg"))
        file = fetch("/song.mp3")
        assert file.path == fetch.directory / "input.mp3"
        assert file.path.read_bytes() == body
        assert (file.size_bytes, file.content_type) == (len(body), "audio/mpeg")
        began, size, saved, completed = fetch.lines()
        assert began == f"Downloading audio from URL: {server.url}/song.mp3"
        assert size == "File size: 3.00 MB"
        assert saved == f"Audio downloaded to: {file.path}"
        assert re.fullmatch(r"Download completed in \d+\.\ds \(avg \d+\.\d\d MB/s\)", completed)

    def test_progress_is_logged_every_two_seconds(self, server, fetch):
        server.on("/song.wav", drip(b"x" * 4 * MB, seconds=1))
        ticks = itertools.count(0, 0.5)
        # How often the clock is read depends on the pieces that arrive.
        limits = replace(LIMITS, deadline_s=3600)
        fetch("/song.wav", limits, clocks=Clocks(monotonic=lambda: next(ticks)))
        progress = [line for line in fetch.lines() if line.startswith("Download progress")]
        assert progress
        assert all(re.fullmatch(r"Download progress: \d+\.\d% \(\d+\.\d\d MB/s\)", line) for line in progress)

    def test_progress_without_a_length_tells_the_size_so_far(self, server, fetch):
        server.on("/song.wav", drip(b"x" * 4 * MB, seconds=1, with_length=False))
        ticks = itertools.count(0, 0.5)
        # How often the clock is read depends on the pieces that arrive.
        limits = replace(LIMITS, deadline_s=3600)
        fetch("/song.wav", limits, clocks=Clocks(monotonic=lambda: next(ticks)))
        progress = [line for line in fetch.lines() if line.startswith("Download progress")]
        assert progress
        assert all(re.fullmatch(r"Download progress: \d+\.\d\d MB \(\d+\.\d\d MB/s\)", x) for x in progress)
        assert not any(line.startswith("File size") for line in fetch.lines())

    def test_chunks_of_any_size_arrive_whole(self, server, fetch):
        chunks = [b"a", b"bc" * 100_000, b"d" * 3, b"e" * MB]
        server.on("/song.wav", serve_chunked(chunks))
        assert fetch("/song.wav").path.read_bytes() == b"".join(chunks)

    def test_a_redirect_is_followed_and_the_name_stays_the_first_address_s(self, server, fetch):
        server.on("/song.flac", redirect("/elsewhere/data.bin"))
        server.on("/elsewhere/data.bin", serve(b"song"))
        assert fetch("/song.flac").path.name == "input.flac"

    def test_a_name_that_the_server_gives_is_not_used(self, server, fetch):
        header = ("Content-Disposition", 'attachment; filename="../../evil.sh"')
        server.on("/song", serve(b"song", headers=[header]))
        assert fetch("/song").path == fetch.directory / "input.wav"

    @pytest.mark.parametrize(
        "content_type", ["text/html", "application/json", "application/octet-stream", ""]
    )
    def test_a_content_type_that_is_not_audio_gives_a_warning(self, server, fetch, caplog, content_type):
        server.on("/song.wav", serve(b"song", content_type=content_type))
        fetch("/song.wav")
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert content_type in warnings[0]

    @pytest.mark.parametrize(
        "content_type", ["audio/x-wav", "Application/OGG", "application/x-flac", "x/m4a"]
    )
    def test_one_that_is_gives_none(self, server, fetch, caplog, content_type):
        server.on("/song.wav", serve(b"song", content_type=content_type))
        fetch("/song.wav")
        assert not [r for r in caplog.records if r.levelno == logging.WARNING]

    def test_a_length_beside_chunks_is_not_believed(self, server, fetch):
        def script(request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 200\r\n")
            connection.send(b"Transfer-Encoding: chunked\r\n\r\n4\r\nsong\r\n0\r\n\r\n")

        server.on("/song.wav", script)
        assert fetch("/song.wav").path.read_bytes() == b"song"

    def test_more_than_the_length_says_is_not_taken(self, server, fetch):
        server.on("/song.wav", serve(b"song and more", declared_bytes=4))
        assert fetch("/song.wav").path.read_bytes() == b"song"

    def test_the_signature_of_a_presigned_address_is_not_logged(self, server, fetch):
        server.on("/song.wav", serve(b"song"))
        fetch("/song.wav?X-Amz-Signature=s3cret")
        assert f"Downloading audio from URL: {server.url}/song.wav?…" in fetch.lines()
        assert "s3cret" not in " ".join(fetch.lines())
        assert server.requests()[0].target == "/song.wav?X-Amz-Signature=s3cret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/song.mp3", ".mp3"),
        ("http://h/song.MP3?x=a.wav", ".mp3"),
        ("http://h/song.mp3#a.wav", ".mp3"),
        ("http://h/a.b/song", ".wav"),
        ("http://h", ".wav"),
        ("http://h/", ".wav"),
        ("http://h/song.", ".wav"),
        ("http://h/.mp3", ".wav"),
        ("http://h/song.tar.gz", ".gz"),
        ("http://h/song%2Em4a", ".m4a"),
        ("http://h/song.a%2Fb", ".wav"),
        ("http://h/song.%00wav", ".wav"),
        ("http://h/song.verylongextension", ".wav"),
        ("http://h/song.wäv", ".wav"),
        ("http://h/..%2f..%2fetc/passwd.sh", ".sh"),
    ],
)
def test_the_extension_comes_from_the_path(url, expected):
    assert extension(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/a.wav", "http://h/a.wav"),
        ("http://h/a.wav?sig=1&x=2", "http://h/a.wav?…"),
        ("http://h/a.wav#frag", "http://h/a.wav"),
        ("http://h/a.wav?sig=1#frag", "http://h/a.wav?…"),
        ("http://h/a#f?sig=1", "http://h/a?…"),
    ],
)
def test_a_logged_address_has_no_query(url, expected):
    assert without_secrets(url) == expected
