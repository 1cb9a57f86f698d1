"""Tags and covers: what is kept of songs, what is left out, and how stems get it."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from processor.audio import song_tags
from processor.audio.cover import MAX_COVER_BYTES, Cover, described
from processor.audio.prepare import AudioLimits, PreparedSource, prepare
from processor.audio.song_tags import SongTags
from processor.output.finish import FloatStems
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.finishing import by_ffmpeg, finished
from tests.support.processor.pictures import id3_frame, id3_picture, id3_text, jpeg, png, tagged_mp3
from tests.support.processor.songs import encoded, file

SONG = songs.music(0.5)
TAGS = {"title": "Größe", "artist": "A\nB", "album": "夜", "date": "1999", "genre": "Folk", "track": "3/12"}


@functools.cache
def mp3() -> bytes:
    return encoded("libmp3lame", "mp3", SONG, id3v2_version="0")


def read(directory, content: bytes) -> SongTags:
    return song_tags.read(file(directory / "song", content), directory / "mix.wav")


def stem(directory, format: str, tags: dict[str, str], cover: Cover | None):
    directory.mkdir(exist_ok=True)
    path = audio.write(directory / "v.wav", SONG)
    source = PreparedSource(path, 44100, len(SONG), tags, cover)
    done = finished(directory, FloatStems({"vocals": path}), source, format=format, tags="keep")
    return done.stems["vocals"].path


def cover(directory, kind: str) -> Cover:
    content = png() if kind == "png" else jpeg()
    return Cover(str(file(directory / f"given.{kind}", content)), kind, 8, 6)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_a_stem_has_the_songs_tags_and_cover(tmp_path, format, kind):
    given = cover(tmp_path, kind)
    path = stem(tmp_path, format, TAGS, given)
    assert len(by_ffmpeg(path)[0]) == len(SONG)
    found = song_tags.read(path, tmp_path / "mix.wav")
    assert found.texts == TAGS | {"title": "Größe (vocals)"}
    if format == "wav":
        assert found.cover is None
    else:
        assert (tmp_path / f"mix.cover.{kind}").read_bytes() == (tmp_path / f"given.{kind}").read_bytes()
        assert found.cover == replace(given, path=str(tmp_path / f"mix.cover.{kind}"))


@pytest.mark.parametrize("format", ["flac", "mp3", "m4a", "ogg"])
def test_a_cover_of_2_mib_is_kept(tmp_path, format):
    given = Cover(str(file(tmp_path / "given.png", png(size_bytes=MAX_COVER_BYTES))), "png", 8, 6)
    path = stem(tmp_path, format, {}, given)
    found = song_tags.read(path, tmp_path / "mix.wav")
    assert found.cover
    assert (tmp_path / "mix.cover.png").stat().st_size == MAX_COVER_BYTES
    assert len(by_ffmpeg(path)[0]) == len(SONG)


@pytest.mark.parametrize(
    "picture",
    [
        lambda: png(size_bytes=MAX_COVER_BYTES + 1),
        lambda: png(size_bytes=50 << 20),
        lambda: b"GIF89a" + bytes(500),
        lambda: png()[:20],
        lambda: png(width=0),
        lambda: b"\xff\xd8\xff" + b"\xff" * 500,
        lambda: jpeg()[:24],
        lambda: b"<svg onload=alert(1)>",
        lambda: b"",
    ],
    ids=["2 MiB and a byte", "50 MB", "gif", "cut", "no width", "no frame", "cut jpeg", "svg", "empty"],
)
def test_a_picture_that_is_too_large_or_of_another_kind_is_left_out(tmp_path, picture):
    found = read(tmp_path, tagged_mp3(mp3(), id3_text(b"TIT2", b"T"), id3_picture(picture())))
    assert found == SongTags({"title": "T"})
    assert [path.name for path in tmp_path.iterdir()] == ["song"]


def test_a_good_picture_behind_a_bad_one_is_taken(tmp_path):
    found = read(tmp_path, tagged_mp3(mp3(), id3_picture(b"GIF89a"), id3_picture(png())))
    assert found.cover == Cover(str(tmp_path / "mix.cover.png"), "png", 8, 6)


def test_hostile_tags_are_cut_down(tmp_path):
    many = [id3_frame(b"TXXX", b"\x03k%d\0v" % number) for number in range(10_000)]
    frames = [
        id3_text(b"TIT2", b"a\0b\x1b[31m\x07"),
        id3_text(b"TPE1", b"x" * 4096),
        id3_text(b"TALB", b"x" * 4097),
        id3_text(b"TCOM", b"\xff\xfe\xed\xa0\x80ok"),
        id3_text(b"TCON", b"\x01\x02"),
        id3_frame(b"TXXX", b"\x03REPLAYGAIN_TRACK_GAIN\0-3 dB"),
    ]
    found = read(tmp_path, tagged_mp3(mp3(), *many, *frames))
    assert set(found.texts) <= {"title", "artist", "composer"}
    assert found.texts["artist"] == "x" * 4096
    assert not set("\0\x1b\x07") & set("".join(found.texts.values()))


@pytest.mark.parametrize(
    "content",
    [
        lambda: b"fLaC" + bytes(99),
        lambda: b"OggS" + bytes(99),
        lambda: mp3()[:100],
        lambda: b"RIFF\0\0\0\0WAVE" + bytes(99),
    ],
    ids=["flac", "ogg", "mp3", "wav"],
)
def test_a_file_that_cannot_be_read_has_no_tags(tmp_path, content):
    assert read(tmp_path, content()) == SongTags()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(300, 200), ("png", 300, 200)),
        (jpeg(300, 200), ("jpeg", 300, 200)),
        (b"\xff\xd8\xff\xfe\x00\x04ab" + jpeg()[2:], ("jpeg", 8, 6)),
    ],
)
def test_a_pictures_size_is_read_from_its_header(content, expected):
    assert described(content) == expected


def test_the_limited_process_reads_tags_where_they_are_asked_for(tmp_path):
    song = file(tmp_path / "song.mp3", tagged_mp3(mp3(), id3_text(b"TIT2", b"T"), id3_picture(png())))
    limits = AudioLimits(max_duration_s=60, max_channels=8)
    kept = prepare(song, tmp_path / "mix.wav", limits, lambda: None, keep_tags=True)
    assert kept.source.tags == {"title": "T"}
    assert kept.source.cover == Cover(str(tmp_path / "mix.cover.png"), "png", 8, 6)
    assert (kept.source.path, kept.source.rate, kept.source.frames) == (kept.path, 44100, kept.frames)
    assert np.abs(audio.read(kept.path)).max() > 0.3
    plain = prepare(song, tmp_path / "plain.wav", limits, lambda: None)
    assert (plain.source.tags, plain.source.cover) == ({}, None)
