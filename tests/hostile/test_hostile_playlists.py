"""Files that name another file: refused, and the other one is never opened, by whatever way."""

from pathlib import Path

import av
import pytest
import requests

from common.errors import ErrorCode, PermanentError
from processor.audio.prepare import AudioLimits, prepare
from tests.support.canary import watched
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor.hostile_playlists import PLAYLISTS, external_mov, silence
from tests.support.sockets import connections

LIMITS = AudioLimits(max_duration_s=60, max_channels=8)


def refused(source: Path) -> ErrorCode:
    """The code, once it is sure that nothing but the file itself was opened where it lies."""
    target = source.parent.parent / "mix.wav"
    with watched(source.parent) as watch:
        with pytest.raises(PermanentError) as caught:
            prepare(source, target, LIMITS, lambda: None)
        assert watch.opened() == {source.name}
    assert not target.exists()
    return caught.value.code


@pytest.fixture
def directory(tmp_path) -> Path:
    directory = tmp_path / "job"
    directory.mkdir()
    return directory


@pytest.fixture
def canary(directory) -> Path:
    return silence(directory / "canary.wav")


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(directory, canary, name):
    path = directory / name
    path.write_text(PLAYLISTS[name].format(canary=canary, name=canary.name))
    assert refused(path) == ErrorCode.NOT_AUDIO


@pytest.mark.parametrize("name", ["a.ffconcat", "beside.ffconcat", "a.m3u8", "a.mpd", "a.sdp", "a.vqf"])
def test_one_dressed_as_an_mp3_opens_none_either(directory, canary, name):
    (directory / "song.mp3").write_text(PLAYLISTS[name].format(canary=canary, name=canary.name))
    assert refused(directory / "song.mp3") == ErrorCode.NOT_AUDIO


@pytest.mark.parametrize("name", ["a.ffconcat", "a.m3u8"])
@pytest.mark.parametrize("before", [b"ID3\x03\x00\x00\x00\x00\x00\x00", b"\xef\xbb\xbf", b"\n\n", b"RIFF"])
def test_one_behind_something_else_opens_none_either(directory, canary, name, before):
    text = PLAYLISTS[name].format(canary=canary, name=canary.name)
    (directory / "song.mp3").write_bytes(before + text.encode())
    assert refused(directory / "song.mp3") == ErrorCode.NOT_AUDIO


@pytest.mark.network
@pytest.mark.parametrize("name", ["a.ffconcat", "a.m3u8", "key.m3u8", "a.mpd", "a.vqf", "a.asx"])
def test_a_playlist_of_addresses_connects_to_none(directory, name):
    with ScriptedServer() as server:
        url = server.on("/canary.wav", serve(b"song"))
        (directory / "song.mp3").write_text(PLAYLISTS[name].format(canary=url, name=url))
        assert refused(directory / "song.mp3") == ErrorCode.NOT_AUDIO
        assert server.connections == 0


@pytest.mark.parametrize("levels", [0, 1], ids=["anywhere", "beside it"])
def test_a_movie_whose_sound_is_elsewhere_opens_none(directory, canary, levels):
    path = external_mov(directory / "song.mov", canary, levels)
    assert refused(path) == ErrorCode.TRUNCATED_AUDIO


class TestThatTheseFilesAreArmed:
    """Read without our options, they do open the other file: so the tests above can fail."""

    def opened(self, source: Path, **options: str) -> set[str]:
        with watched(source.parent) as watch:
            try:
                with av.open(str(source), options=options) as container:
                    for packet in container.demux():
                        packet.decode()
            except av.error.FFmpegError:
                pass  # what it found there does not matter
            return watch.opened()

    @pytest.mark.parametrize(
        "name", ["a.ffconcat", "url.ffconcat", "beside.ffconcat", "a.m3u8", "beside.m3u8"]
    )
    def test_playlists(self, directory, canary, name):
        path = directory / name
        path.write_text(PLAYLISTS[name].format(canary=canary, name=canary.name))
        assert canary.name in self.opened(path, safe="0", allowed_extensions="ALL", extension_picky="0")

    @pytest.mark.parametrize("levels", [0, 1])
    def test_movies(self, directory, canary, levels):
        path = external_mov(directory / "song.mov", canary, levels)
        assert canary.name in self.opened(path, enable_drefs="1", use_absolute_path="1")
        assert canary.name not in self.opened(path, enable_drefs="0")


def test_connections_are_seen():
    with connections() as tried, ScriptedServer() as server:
        assert requests.get(server.url, timeout=30).status_code == 404
    assert tried == [("127.0.0.1", server.port)]
