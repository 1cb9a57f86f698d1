"""The longest length that is allowed: which lengths count, and which are only remarks."""

import shutil
from collections import namedtuple
from pathlib import Path

import av
import pytest

from common.errors import ErrorCode, PermanentError
from tests.support.processor import songs
from tests.support.processor.songs import RATE, decoded, encoded, file

SONG = songs.music(2.0, 48000)
# Name, codec and container of formats whose songs are as long as the limit, each with its own padding.
FORMATS = {
    "wav": ("pcm_s16le", "wav"),
    "flac": ("flac", "flac"),
    "mp3": ("libmp3lame", "mp3"),
    "m4a": ("aac", "ipod"),
    "aac": ("aac", "adts"),
    "opus": ("libopus", "ogg"),
    "webm": ("libopus", "webm"),
    "mka": ("aac", "matroska"),
    "wma": ("wmav2", "asf"),
    "ac3": ("ac3", "ac3"),
}
Usage = namedtuple("Usage", "total used free")


def with_duration_comment(path: Path, codec: str, duration: str) -> Path:
    """Write the song as Ogg with the comment that FFmpeg copies from a Matroska file into a cut of it."""
    content = file(path.with_suffix(".mka"), encoded(codec, "matroska", SONG, 48000))
    with av.open(str(content)) as given, av.open(str(path), "w", format="ogg") as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        stream.metadata["DURATION"] = duration
        for packet in given.demux(given.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_a_duration_comment_of_an_ogg_song_is_not_its_length(tmp_path, monkeypatch, codec):
    path = with_duration_comment(tmp_path / "song.ogg", codec, "05:00:00.008000000")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 29, 100 << 20))
    assert decoded(path, max_duration_s=3600)[0].frames == pytest.approx(2 * RATE, abs=RATE * 0.03)


@pytest.mark.parametrize(("codec", "container"), FORMATS.values(), ids=FORMATS)
def test_a_song_as_long_as_the_limit_is_taken_in_every_format(tmp_path, codec, container):
    path = file(tmp_path / "song", encoded(codec, container, SONG, 48000))
    assert decoded(path, max_duration_s=2)[0].frames == pytest.approx(2 * RATE, abs=RATE * 0.06)
    with pytest.raises(PermanentError) as caught:
        decoded(path, max_duration_s=1.9)
    assert caught.value.code == ErrorCode.TOO_LONG


def test_a_matroska_songs_length_counts_before_it_is_decoded(tmp_path, monkeypatch):
    path = file(tmp_path / "song", encoded("libopus", "webm", SONG, 48000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 29, 100))
    with pytest.raises(OSError, match="decoding needs"):
        decoded(path)
