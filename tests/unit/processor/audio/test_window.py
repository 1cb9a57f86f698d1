"""Trimming: the window's samples and no others, whatever lies behind the window."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio import audio_stream, decode
from processor.audio.prepare import AudioLimits, prepare
from processor.audio.window import Window
from tests.support import audio
from tests.support.made import Made
from tests.support.processor import songs
from tests.support.processor.songs import RATE, by_libsndfile, encoded, file

SECONDS = 16


@functools.cache
def song() -> np.ndarray:
    return songs.music(SECONDS)


FORMATS = Made(
    {
        "wav": lambda: by_libsndfile(song(), "WAV", "PCM_16"),
        "flac": lambda: by_libsndfile(song(), "FLAC", "PCM_16"),
        "aiff": lambda: by_libsndfile(song(), "AIFF", "PCM_16"),
        "alac": lambda: encoded("alac", "ipod", song()),
        "aac": lambda: encoded("aac", "ipod", song()),
        "mp3": lambda: encoded("libmp3lame", "mp3", song()),
        "ogg": lambda: by_libsndfile(song(), "OGG", "VORBIS"),
        "mkv": lambda: encoded("flac", "matroska", song()),
    }
)


def cut(path: Path, window: Window, max_duration_s: float = 60) -> np.ndarray:
    """Decode the window at the song's own rate, and check that both files have its length."""
    own = path.with_name("own.wav")
    found = decode.decode(path, path.with_name("mix.wav"), max_duration_s, 8, window, own)
    samples = audio.read(own)
    assert len(samples) == found.own_frames
    assert len(audio.read(path.with_name("mix.wav"))) == found.frames
    assert found.frames == round(found.own_frames * RATE / found.own_rate)
    return samples


def whole(format: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as directory:
        return cut(file(Path(directory) / "song", FORMATS[format]), Window())


# Each is compared with several windows.
WHOLES = Made({format: functools.partial(whole, format) for format in FORMATS})


@pytest.fixture
def decoded_frames(monkeypatch) -> list[int]:
    """How many samples FFmpeg decodes."""
    counted: list[int] = []
    frames = audio_stream.Packets.frames

    def counting(packets):
        for frame in frames(packets):
            counted.append(frame.samples)
            yield frame

    monkeypatch.setattr(audio_stream.Packets, "frames", counting)
    return counted


@pytest.mark.parametrize(
    ("start_s", "duration_s"), [(0, 1.5), (3.00001, 0.7), (13.1, 1.03), (14, 60), (15.5, None)]
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_window_has_the_samples_of_the_whole_song(tmp_path, decoded_frames, format, start_s, duration_s):
    path = file(tmp_path / "song", FORMATS[format])
    whole = WHOLES[format]
    decoded_frames.clear()
    samples = cut(path, Window(start_s, duration_s))
    start = round(start_s * RATE)
    end = len(whole) if duration_s is None else min(len(whole), round((start_s + duration_s) * RATE))
    assert len(samples) == end - start
    # AAC's noise substitution depends on all frames before.
    assert audio.sdr_db(whole[start:end], samples) > (40 if format == "aac" else 200)
    seeks = format in ("wav", "flac", "aiff", "alac", "aac") and start_s > 10
    assert sum(decoded_frames) <= end - (start if seeks else 0) + 4 * RATE


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_a_window_of_opus_in_mp4_has_the_samples_of_the_whole_song(tmp_path, rate):
    path = file(tmp_path / "song", encoded("libopus", "mp4", songs.music(SECONDS, rate), rate))
    whole, samples = cut(path, Window()), cut(path, Window(13.1, 1))
    assert audio.sdr_db(whole[round(13.1 * 48000) :][:48000], samples) > 60


def test_a_window_reaches_over_joined_songs(tmp_path):
    other = songs.music(12, seed=5)
    path = file(
        tmp_path / "song", by_libsndfile(song(), "FLAC", "PCM_16") + by_libsndfile(other, "FLAC", "PCM_16")
    )
    assert np.array_equal(cut(path, Window(15, 2)), np.concatenate([song()[15 * RATE :], other[:RATE]]))
    assert np.array_equal(cut(path, Window(27, 2)), other[11 * RATE :])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("start_s", [SECONDS + 0.1, 5000])
def test_a_window_beyond_the_songs_end_is_empty(tmp_path, format, start_s):
    with pytest.raises(PermanentError, match=rf"lasts 16\.\d\d s, and start_s is {start_s:g}") as caught:
        cut(file(tmp_path / "song", FORMATS[format]), Window(start_s, 5))
    assert caught.value.code == ErrorCode.WINDOW_EMPTY


@pytest.mark.parametrize(
    ("rate", "duration_s", "at"), [(8000, 5e-5, "8"), (44_100, 1e-9, "44.1"), (192_000, 1e-5, "44.1")]
)
def test_a_window_without_a_sample_is_empty(tmp_path, rate, duration_s, at):
    path = file(tmp_path / "song", by_libsndfile(songs.music(2, rate), "WAV", "PCM_16", rate))
    why = f"duration_s is {duration_s:g}, which is shorter than one sample at {at} kHz"
    with pytest.raises(PermanentError, match=why) as caught:
        cut(path, Window(1, duration_s))
    assert caught.value.code == ErrorCode.WINDOW_EMPTY


@pytest.mark.parametrize(
    ("samples", "why"), [(0, "no audio samples"), (2, "sound of less than one sample at 44.1 kHz")]
)
def test_a_song_without_a_sample_is_empty(tmp_path, samples, why):
    path = file(tmp_path / "song", by_libsndfile(songs.music(1)[:samples], "WAV", "PCM_16", 192_000))
    with pytest.raises(PermanentError, match=f"The file holds {why}") as caught:
        cut(path, Window())
    assert caught.value.code == ErrorCode.EMPTY_FILE


def test_the_longest_length_is_that_of_the_window(tmp_path):
    path = file(tmp_path / "song", FORMATS["flac"])
    assert len(cut(path, Window(2, 3), max_duration_s=5)) == 3 * RATE
    assert len(cut(path, Window(12), max_duration_s=5)) == 4 * RATE
    for window in (Window(), Window(2), Window(2, 6)):
        with pytest.raises(PermanentError) as caught:
            cut(path, window, max_duration_s=5)
        assert caught.value.code == ErrorCode.TOO_LONG


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_what_is_missing_behind_the_window_is_not_missed(tmp_path, format):
    path = file(tmp_path / "song", FORMATS[format][: len(FORMATS[format]) * 3 // 4])
    assert len(cut(path, Window(1, 2))) == 2 * RATE
    with pytest.raises(PermanentError) as caught:
        cut(path, Window(1))
    assert caught.value.code == ErrorCode.TRUNCATED_AUDIO


def test_the_limited_process_cuts_too(tmp_path):
    path = file(tmp_path / "song", by_libsndfile(songs.music(2, 48000), "WAV", "PCM_16", 48000))
    limits = AudioLimits(max_duration_s=60, max_channels=8)
    prepared = prepare(
        path, tmp_path / "mix.wav", limits, lambda: None, window=Window(0.5, 1), keep_source=True
    )
    assert (prepared.frames, prepared.source.frames, prepared.source.rate) == (44100, 48000, 48000)
    with pytest.raises(PermanentError) as caught:
        prepare(path, tmp_path / "none.wav", limits, lambda: None, window=Window(3), keep_source=True)
    assert caught.value.code == ErrorCode.WINDOW_EMPTY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix.own.wav", "mix.wav", "song"]
