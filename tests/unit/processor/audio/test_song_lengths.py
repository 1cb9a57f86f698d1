"""Lengths to the sample: padding, joined and chained songs, tags in odd places, gaps, truncation."""

import functools
import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from tests.support import audio
from tests.support.made import Made
from tests.support.processor import songs
from tests.support.processor.songs import RATE, by_libsndfile, decoded, encoded, file

SONG = songs.music(1.0)
FRAMES = len(SONG)
OTHER = songs.music(0.9, 48000)  # 39,690 frames of 44.1 kHz
OTHER_FRAMES = round(0.9 * RATE)
# What a tag may hold: bytes that look like frames of MP3.
FALSE_FRAMES = bytes([0xFF, 0xFB, 0x90, 0x64]) * 50_000


@functools.cache
def mp3() -> bytes:
    return encoded("libmp3lame", "mp3", SONG)


def plain_mp3() -> bytes:
    return encoded("libmp3lame", "mp3", SONG, write_xing="0", id3v2_version="0")


def refused(path: Path) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        decoded(path)
    return caught.value


@pytest.mark.parametrize("frames", [FRAMES, FRAMES - 1, 30_000, 2048])
@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libmp3lame", "mp3", {}),
        ("aac", "ipod", {}),
        ("aac", "mov", {}),
        ("alac", "ipod", {}),
        ("libopus", "mp4", {}),
        ("flac", "ogg", {}),
        ("flac", "matroska", {}),
        ("wavpack", "wv", {}),
        ("tta", "tta", {}),
        ("pcm_s16le", "avi", {}),
    ],
)
def test_a_song_has_the_samples_that_were_encoded(tmp_path, codec, container, options, frames):
    rate = 48000 if codec == "libopus" else RATE
    content = encoded(codec, container, SONG[:frames], rate, **options)
    found, samples = decoded(file(tmp_path / "song", content))
    assert found.frames == round(frames * RATE / rate)
    if frames >= 30_000 and rate == RATE:
        assert audio.sdr_db(SONG[:frames], samples) > 15


@pytest.mark.parametrize("frames", [FRAMES, FRAMES - 1, 30_001])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_song_ends_where_its_last_page_says(tmp_path, subtype, frames):
    rate = RATE if subtype == "VORBIS" else 48000
    content = by_libsndfile(SONG[:frames], "OGG", subtype, rate)
    assert decoded(file(tmp_path / "song", content))[0].frames == round(frames * RATE / rate)


# Joined or chained, and the frames that all parts have together.
JOINED = Made(
    {
        "the same mp3 twice": lambda: (mp3() + mp3(), 2 * FRAMES),
        "mp3s of several rates and channels": lambda: (
            mp3()
            + encoded("libmp3lame", "mp3", OTHER, 48000)
            + by_libsndfile(SONG[:, 0], "MP3", "MPEG_LAYER_III"),
            2 * FRAMES + OTHER_FRAMES,
        ),
        "mp3s with tags between": lambda: (
            songs.id3v2(FALSE_FRAMES)
            + mp3()
            + songs.ape(FALSE_FRAMES)
            + songs.id3v2(FALSE_FRAMES, True)
            + mp3(),
            2 * FRAMES,
        ),
        "mp3s with old tags between": lambda: (
            mp3() + b"TAG" + bytes(125) + mp3() + b"TAG" + bytes(125),
            2 * FRAMES,
        ),
        "vorbis of two set-ups": lambda: (
            by_libsndfile(SONG, "OGG", "VORBIS", compression_level=0.1)
            + by_libsndfile(SONG, "OGG", "VORBIS", compression_level=0.9),
            2 * FRAMES,
        ),
        "vorbis of the same set-up": lambda: (by_libsndfile(SONG, "OGG", "VORBIS") * 2, 2 * FRAMES),
        "vorbis of two rates": lambda: (
            by_libsndfile(SONG, "OGG", "VORBIS") + by_libsndfile(OTHER, "OGG", "VORBIS", 48000),
            FRAMES + OTHER_FRAMES,
        ),
        "vorbis, stereo and mono": lambda: (
            by_libsndfile(SONG, "OGG", "VORBIS") + by_libsndfile(SONG[:, 0], "OGG", "VORBIS"),
            2 * FRAMES,
        ),
        "opus twice": lambda: (by_libsndfile(OTHER, "OGG", "OPUS", 48000) * 2, 2 * OTHER_FRAMES),
        "flac in ogg": lambda: (
            encoded("flac", "ogg", SONG) + encoded("flac", "ogg", OTHER, 48000),
            FRAMES + OTHER_FRAMES,
        ),
        "vorbis, opus and flac": lambda: (
            by_libsndfile(SONG, "OGG", "VORBIS")
            + by_libsndfile(OTHER, "OGG", "OPUS", 48000)
            + encoded("flac", "ogg", SONG),
            2 * FRAMES + OTHER_FRAMES,
        ),
        "flac": lambda: (
            encoded("flac", "flac", SONG) + encoded("flac", "flac", OTHER, 48000),
            FRAMES + OTHER_FRAMES,
        ),
        "m4a": lambda: (
            encoded("aac", "ipod", SONG) + encoded("aac", "ipod", OTHER, 48000),
            FRAMES + OTHER_FRAMES,
        ),
        "matroska": lambda: (
            encoded("flac", "matroska", SONG) + encoded("flac", "matroska", OTHER, 48000),
            FRAMES + OTHER_FRAMES,
        ),
        "wav": lambda: (
            by_libsndfile(SONG, "WAV", "PCM_16") + by_libsndfile(OTHER, "WAV", "PCM_24", 48000),
            FRAMES + OTHER_FRAMES,
        ),
    }
)


@pytest.mark.parametrize("name", JOINED)
def test_joined_songs_are_read_one_after_the_other(tmp_path, name):
    content, frames = JOINED[name]
    found, samples = decoded(file(tmp_path / "song", content))
    assert found.frames == frames
    assert found.peak < 1  # and no noise
    assert np.abs(samples[-OTHER_FRAMES:]).max() > 0.3
    if found.source_rate == RATE:
        assert audio.sdr_db(SONG[:30_000], samples[:30_000]) > 10


@pytest.mark.parametrize("name", ["flac", "m4a", "matroska", "wav", "the same mp3 twice"])
def test_joined_songs_that_are_cut_off_are_truncated(tmp_path, name):
    content = JOINED[name][0]
    assert refused(file(tmp_path / "song", content[: len(content) * 8 // 10])).code == "truncated_audio"


def test_raw_aac_that_changes_its_rate_is_read_to_its_end(tmp_path):
    content = encoded("aac", "adts", SONG) + encoded("aac", "adts", OTHER, 48000)
    found, _ = decoded(file(tmp_path / "song", content))
    assert FRAMES + OTHER_FRAMES <= found.frames < FRAMES + OTHER_FRAMES + 6000


@pytest.mark.parametrize("inserted", [plain_mp3, mp3], ids=["plain", "with a frame count"])
def test_an_mp3_with_another_one_inserted_is_whole(tmp_path, inserted):
    half = len(mp3()) // 2
    found, _ = decoded(file(tmp_path / "song", mp3()[:half] + inserted() + mp3()[half:]))
    assert found.frames == pytest.approx(2 * FRAMES, abs=5 * 1152)


def middle() -> int:
    """Between two frames, which all begin alike but for the padding bit."""
    return mp3().index(mp3()[mp3().index(b"\xff\xfb") :][:2], len(mp3()) // 2)


# An mp3 among tags and junk.
TAGGED: dict[str, Callable[[], bytes]] = {
    "a large tag of unknown bytes behind": lambda: mp3() + songs.ape(b"x" * 200_000, footer=False),
    "APE behind": lambda: mp3() + songs.ape(FALSE_FRAMES) + b"TAG" + bytes(125),
    "APE without a header behind": lambda: mp3() + songs.ape(FALSE_FRAMES, header=False),
    "APE before": lambda: songs.ape(FALSE_FRAMES) + mp3(),
    "ID3v2 before": lambda: songs.id3v2(FALSE_FRAMES) + mp3(),
    "ID3v2 twice before": lambda: songs.id3v2(FALSE_FRAMES) + songs.id3v2(FALSE_FRAMES) + mp3(),
    "ID3v2 of 3 MB before": lambda: songs.id3v2(FALSE_FRAMES * 15) + mp3(),
    "ID3v2 with a footer before": lambda: songs.id3v2(FALSE_FRAMES, True) + mp3(),
    "ID3v2 behind": lambda: mp3() + songs.id3v2(FALSE_FRAMES),
    "ID3v2 with a footer behind": lambda: mp3() + songs.id3v2(FALSE_FRAMES, True),
    "ID3v2 in the middle": lambda: mp3()[: middle()] + songs.id3v2(FALSE_FRAMES) + mp3()[middle() :],
    "zeros before": lambda: bytes(10_000) + mp3(),
    "zeros behind": lambda: mp3() + bytes(100_000),
}


@pytest.mark.parametrize("content", TAGGED.values(), ids=TAGGED)
def test_tags_are_no_sound_wherever_they_are(tmp_path, content):
    found, samples = decoded(file(tmp_path / "song", content()))
    assert found.frames == FRAMES
    assert audio.sdr_db(SONG[:20_000], samples[:20_000]) > 15


@pytest.mark.parametrize("container", ["flac", "wv", "aiff", "ipod", "ogg"])
def test_other_formats_have_tags_before_and_behind(tmp_path, container):
    codec = {"flac": "flac", "wv": "wavpack", "aiff": "pcm_s16be", "ipod": "alac", "ogg": "flac"}[container]
    content = songs.id3v2(FALSE_FRAMES) + encoded(codec, container, SONG) + songs.ape(b"x" * 100_000)
    found, samples = decoded(file(tmp_path / "song", content))
    assert found.frames == FRAMES
    assert audio.sdr_db(SONG, samples) > 30


def test_an_mp3_whose_frame_count_its_frames_do_not_reach_is_truncated(tmp_path):
    content = mp3()[: len(mp3()) * 7 // 10] + songs.ape(b"x" * 200_000)
    error = refused(file(tmp_path / "song", content))
    assert error.code == ErrorCode.TRUNCATED_AUDIO


def test_itunes_remark_tells_the_songs_samples(tmp_path):
    m4a = encoded("aac", "ipod", SONG)
    remark = songs.itunes_remark(1024, 1024 * 45 - FRAMES - 1024, FRAMES)
    found, samples = decoded(file(tmp_path / "song.m4a", songs.with_itunes_remark(m4a, remark)))
    assert found.frames == FRAMES
    assert audio.sdr_db(SONG, samples) > 15


def test_an_edit_list_may_begin_with_a_pause_and_take_a_part(tmp_path):
    m4a = bytearray(encoded("alac", "ipod", SONG))
    at = m4a.index(b"elst") + 12
    assert struct.unpack_from(">I", m4a, at - 4)[0] == 1
    struct.pack_into(">II", m4a, at, 500, 4096)  # half a second, in the movie's thousandths, from 4,096 on
    found, samples = decoded(file(tmp_path / "song.m4a", bytes(m4a)))
    assert found.frames == RATE // 2
    assert np.array_equal(samples, SONG[4096 : 4096 + RATE // 2])


def test_fragments_have_no_padding_behind(tmp_path):
    content = encoded("aac", "mp4", SONG, movflags="frag_keyframe+empty_moov+default_base_moof")
    assert FRAMES <= decoded(file(tmp_path / "song", content))[0].frames <= FRAMES + 1024


def test_encrypted_sound_is_told(tmp_path):
    content = encoded("aac", "ipod", SONG).replace(b"mp4a", b"drms", 1)
    error = refused(file(tmp_path / "song.m4a", content))
    assert error.code in (ErrorCode.FORMAT_UNSUPPORTED, ErrorCode.NOT_AUDIO)


def matroska(begins_s: float = 0.0, gap_s: float = 0.0, video: bool = False) -> bytes:
    """A song that begins late or has a gap in its middle, which the DURATION tag counts."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        if video:
            pictures = output.add_stream("mpeg4", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        stream = output.add_stream("flac", rate=RATE)
        stream.layout = "stereo"
        if video:
            for _ in range(30):
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                output.mux(pictures.encode(frame))
            output.mux(pictures.encode(None))
        for start in range(0, FRAMES, 4410):
            block = (SONG[start : start + 4410].reshape(1, -1) * 32768).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
            later_s = begins_s + (gap_s if start >= FRAMES // 2 else 0)
            frame.sample_rate, frame.pts = RATE, start + round(later_s * RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options", [{"begins_s": 5.0}, {"gap_s": 7.0}, {"begins_s": 0.2, "video": True}, {"video": True}]
)
def test_gaps_in_time_are_not_missing_audio(tmp_path, options):
    found, samples = decoded(file(tmp_path / "song.mkv", matroska(**options)))
    assert found.frames == FRAMES
    assert np.array_equal(samples, SONG)


def test_of_several_streams_the_default_one_is_taken(tmp_path):
    for default in (0, 1, None):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="matroska") as output:
            streams = [output.add_stream("flac", rate=RATE) for _ in range(2)]
            for number, stream in enumerate(streams):
                stream.layout = "stereo"
                chosen = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
                stream.disposition = chosen
            for stream, sound in zip(streams, (SONG, -SONG[::-1]), strict=True):
                block = np.ascontiguousarray((sound.reshape(1, -1) * 32768).astype(np.int16))
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
                frame.sample_rate, frame.pts = RATE, 0
                output.mux(stream.encode(frame))
                output.mux(stream.encode(None))
        _, samples = decoded(file(tmp_path / f"{default}.mka", buffer.getvalue()))
        assert np.array_equal(samples, -SONG[::-1] if default == 1 else SONG)
