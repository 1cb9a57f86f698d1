"""Preparing a download: the formats that are decoded, and the errors for files that are no whole song."""

import struct
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.prepare import AudioLimits, PreparedAudio, prepare
from tests.support import audio

LIMITS = AudioLimits(max_duration_s=60, max_channels=8)
SECONDS = 3.2


def run(source: Path, limits: AudioLimits = LIMITS, check=lambda: None) -> tuple[PreparedAudio, np.ndarray]:
    target = source.parent / "prepared.out"
    prepared = prepare(source, target, limits, check)
    samples = audio.read(target)
    assert len(samples) == prepared.frames
    return prepared, samples


def failure(source: Path, limits: AudioLimits = LIMITS) -> ErrorCode:
    target = source.parent / "prepared.out"
    with pytest.raises(PermanentError) as caught:
        prepare(source, target, limits, lambda: None)
    assert not target.exists()
    return caught.value.code


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return audio.feelings(0.8).mix[: round(SECONDS * audio.SAMPLE_RATE)]


@pytest.mark.parametrize(
    ("name", "subtype", "least_db"),
    [
        ("a.wav", "FLOAT", 140),
        ("a.wav", "PCM_24", 120),
        ("a.wav", "PCM_16", 70),
        ("a.flac", "PCM_24", 120),
        ("a.aiff", "PCM_16", 70),
        ("a.ogg", "VORBIS", 15),
        ("a.mp3", "MPEG_LAYER_III", 15),
    ],
)
def test_decodes_what_libsndfile_writes(tmp_path, song, name, subtype, least_db):
    prepared, samples = run(audio.write(tmp_path / name, song, subtype))
    assert prepared.frames == len(song)
    assert audio.sdr_db(song, samples) > least_db
    assert prepared.peak == pytest.approx(np.abs(samples).max())
    assert prepared.duration_s == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("cbr.mp3", "libmp3lame", {}),
        ("vbr.mp3", "libmp3lame", {"quality": 4}),
        ("a.m4a", "aac", {}),
        ("faststart.mp4", "aac", {"options": {"movflags": "faststart"}}),
        ("lossless.m4a", "alac", {}),
        ("a.mkv", "aac", {}),
        ("a.webm", "libopus", {"rate": 48000}),
        ("a.opus", "libopus", {"rate": 48000, "container": "ogg"}),
        ("flac.mkv", "flac", {}),
    ],
)
def test_decodes_what_ffmpeg_writes(tmp_path, song, name, codec, options):
    prepared, samples = run(audio.encode(tmp_path / name, song, codec, **options))
    # AAC's last frame may be handed out whole.
    assert len(song) <= prepared.frames <= len(song) + 2048
    assert audio.sdr_db(song, samples[: len(song)]) > 15


@pytest.mark.parametrize("quality", [None, 3])
def test_mp3_without_a_frame_count_is_not_called_truncated(tmp_path, song, quality):
    # Half silence, half music: FFmpeg's guess from the first frames' bit rate is far too long.
    mixed = np.concatenate([np.zeros_like(song), song])
    path = audio.encode(tmp_path / "a.mp3", mixed, "libmp3lame", options={"write_xing": "0"}, quality=quality)
    prepared, _ = run(path)
    assert prepared.frames >= len(mixed)


def test_raw_aac_is_not_called_truncated(tmp_path, song):
    prepared, _ = run(audio.encode(tmp_path / "a.aac", song, "aac", container="adts"))
    assert prepared.frames >= len(song)


def test_tags_and_junk_after_the_music_do_no_harm(tmp_path, song):
    path = audio.encode(tmp_path / "a.mp3", song, "libmp3lame")
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125) + b"junk" * 300)
    assert run(path)[0].frames == pytest.approx(len(song), abs=1200)


def test_a_wav_that_was_written_into_a_pipe_is_whole(tmp_path, song):
    path = audio.write(tmp_path / "a.wav", song, "PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert run(path)[0].frames == len(song)


def test_mono_comes_to_both_sides_at_its_own_level(tmp_path, song):
    mono = song[:, 0]
    _, samples = run(audio.write(tmp_path / "a.wav", mono))
    assert np.array_equal(samples, np.stack([mono, mono], axis=1))


def test_48_khz_is_resampled(tmp_path, song):
    path = audio.write(tmp_path / "a.wav", audio.resampled(song, 48000), "PCM_24", rate=48000)
    prepared, samples = run(path)
    assert prepared.frames == pytest.approx(len(song), abs=64)
    shortest = min(len(song), len(samples))
    assert audio.sdr_db(song[:shortest], samples[:shortest]) > 40


@pytest.mark.parametrize("channels", [3, 6, 8, 12])
def test_many_channels_become_two_without_clipping(tmp_path, channels):
    loud = np.ones((4410, channels), np.float32)
    _, samples = run(audio.write(tmp_path / "a.wav", loud), AudioLimits(60, 12))
    assert samples.shape == (4410, 2)
    assert 0.9 < samples.max() <= 1


def test_what_is_not_finite_becomes_zero(tmp_path, song):
    holed = song.copy()
    holed[100], holed[200], holed[300] = np.nan, np.inf, -np.inf
    prepared, samples = run(audio.write(tmp_path / "a.wav", holed))
    assert np.isfinite(prepared.peak)
    assert not samples[[100, 200, 300]].any()
    assert np.array_equal(samples[301:], song[301:])


@pytest.mark.parametrize("frames", [1, 2, 100])
def test_a_very_short_song_is_a_song(tmp_path, frames):
    path = audio.write(tmp_path / "a.wav", np.full((frames, 2), 0.5, np.float32), "PCM_16")
    assert run(path)[0].frames == frames


def test_silence_has_no_peak(tmp_path):
    assert run(audio.write(tmp_path / "a.flac", np.zeros((44100, 2)), "PCM_16"))[0].peak == 0


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.mp3", "MPEG_LAYER_III")]
)
def test_a_broken_download_is_truncated_audio(tmp_path, song, name, subtype):
    whole = audio.write(tmp_path / name, song, subtype)
    assert failure(audio.truncated(tmp_path / f"cut{name}", whole)) == ErrorCode.TRUNCATED_AUDIO


@pytest.mark.parametrize(
    ("name", "options"), [("a.m4a", {}), ("b.m4a", {"movflags": "faststart"}), ("c.mka", {})]
)
def test_a_broken_aac_download_is_truncated_audio(tmp_path, song, name, options):
    whole = audio.encode(tmp_path / name, song, "aac", options=options)
    assert failure(audio.truncated(tmp_path / f"cut{name}", whole)) == ErrorCode.TRUNCATED_AUDIO


def test_an_empty_file_and_a_bare_header_are_empty(tmp_path):
    (tmp_path / "a.wav").touch()
    assert failure(tmp_path / "a.wav") == ErrorCode.EMPTY_FILE
    assert failure(audio.write(tmp_path / "b.wav", np.zeros((0, 2)), "PCM_16")) == ErrorCode.EMPTY_FILE
    assert failure(audio.write(tmp_path / "c.flac", np.zeros((0, 2)), "PCM_16")) == ErrorCode.EMPTY_FILE


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>Not found</body></html>",
        *(np.random.default_rng(seed).bytes(100_000) for seed in (0, 1)),
    ],
)
def test_what_is_no_audio_is_not_audio(tmp_path, content):
    (tmp_path / "a.mp3").write_bytes(content)
    assert failure(tmp_path / "a.mp3") == ErrorCode.NOT_AUDIO


def test_video_without_sound_has_no_audio_stream(tmp_path):
    assert failure(audio.video_only(tmp_path / "a.mkv")) == ErrorCode.NO_AUDIO_STREAM


def test_too_many_channels(tmp_path):
    path = audio.write(tmp_path / "a.wav", np.zeros((100, 6), np.float32))
    assert failure(path, AudioLimits(60, 5)) == ErrorCode.TOO_MANY_CHANNELS


def test_too_long_by_its_header_or_by_its_content(tmp_path, song):
    short = AudioLimits(max_duration_s=2, max_channels=2)
    assert failure(audio.write(tmp_path / "a.wav", song), short) == ErrorCode.TOO_LONG
    undeclared = audio.encode(tmp_path / "a.aac", song, "aac", container="adts")
    assert failure(undeclared, short) == ErrorCode.TOO_LONG


def test_a_header_that_lies_is_bounded_by_the_content(tmp_path, song):
    path = audio.write(tmp_path / "a.flac", song, "PCM_16")
    data = bytearray(path.read_bytes())
    # STREAMINFO: 36 bits of total samples end at byte 26 of the file
    data[21], data[22:26] = data[21] & 0xF0, struct.pack(">I", 1000)
    path.write_bytes(data)
    assert failure(path, AudioLimits(2, 2)) == ErrorCode.TOO_LONG
