"""Every format at every rate: decoded again, a stem has the song's length to the sample, and its sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import ErrorCode, PermanentError
from common.tasks.messages.choices import BITRATES_KBPS, SAMPLE_RATES_HZ, Output
from processor.audio import decode
from processor.audio.prepare import PreparedSource
from processor.output.finish import FloatStems
from processor.output.resolved import has_rate, resolve
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.finishing import by_ffmpeg, finished

FORMATS = ("wav", "flac", "mp3", "m4a", "ogg")


def made_up(directory: Path, rate: int, frames: int) -> tuple[FloatStems, PreparedSource]:
    """One stem, of a song of this rate."""
    source = audio.write(directory / "own.wav", np.zeros((frames, 2), np.float32), rate=rate)
    stem = songs.music(round(frames * 44100 / rate) / 44100)
    return FloatStems({"vocals": audio.write(directory / "v.wav", stem)}), PreparedSource(
        source, rate, frames
    )


@pytest.mark.parametrize("rate", SAMPLE_RATES_HZ)
@pytest.mark.parametrize("format", FORMATS)
def test_a_stem_has_the_songs_samples_at_its_own_rate(tmp_path, format, rate):
    for frames in (round(0.5 * rate), round(0.3 * rate) + 1):
        stems, source = made_up(tmp_path, rate, frames)
        done = finished(tmp_path, stems, source, format=format, sample_rate="source")
        written = done.output.sample_rate_hz
        assert written == (
            rate if has_rate(format, rate) else max(r for r in SAMPLE_RATES_HZ if has_rate(format, r))
        )
        samples, heard_rate = by_ffmpeg(done.stems["vocals"].path)
        assert heard_rate == written
        assert len(samples) == done.stems["vocals"].frames == source.frames_at(written)


@pytest.mark.parametrize(
    ("format", "rate"), [("mp3", 48000), ("m4a", 96000), ("ogg", 192000), ("flac", 8000)]
)
def test_an_odd_number_of_samples_is_kept(tmp_path, format, rate):
    """Whatever the encoder's frame, and wherever in it the song ends."""
    for frames in (10_400, 10_409, 11_520, 12_288, 12_289):
        done = finished(tmp_path, *made_up(tmp_path, rate, frames), format=format, sample_rate="source")
        assert len(by_ffmpeg(done.stems["vocals"].path)[0]) == frames


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_an_m4a_of_few_samples_is_heard(tmp_path, rate):
    for frames in (3, 300, 512, 513, 1023, 1024, 1025):
        done = finished(tmp_path, *made_up(tmp_path, rate, frames), format="m4a", sample_rate="source")
        path = done.stems["vocals"].path
        # PyAV's FFmpeg plays the last frame to its end.
        assert len(by_ffmpeg(path)[0]) == (frames if frames > 512 else 1024)
        found = decode.decode(path, tmp_path / "mix.wav", 60, 2, own=tmp_path / "again.wav")
        assert found.own_frames == frames


@pytest.mark.parametrize("format", FORMATS)
def test_a_song_of_one_sample_has_one_at_a_lower_rate(tmp_path, format):
    stems, source = made_up(tmp_path, 44100, 1)
    done = finished(tmp_path, stems, source, format=format, sample_rate=16000)
    assert done.stems["vocals"].frames == 1
    if format != "mp3":  # FFmpeg takes no MP3 of a single frame
        assert len(by_ffmpeg(done.stems["vocals"].path)[0]) in (1, 1024)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_stem_sounds_as_it_should_and_is_not_shifted(tmp_path, format, rate):
    frames = round(0.8 * rate)
    done = finished(tmp_path, *made_up(tmp_path, rate, frames), format=format, sample_rate="source")
    expected = audio.read(tmp_path / "v.wav")
    if rate != 44100:
        expected = audio.read(
            finished(tmp_path, *made_up(tmp_path, rate, frames), bit_depth=32, sample_rate="source")
            .stems["vocals"]
            .path
        )
    samples, _ = by_ffmpeg(done.stems["vocals"].path)
    scale = 1 if samples.dtype == np.float32 else 1 / 2 ** (8 * samples.dtype.itemsize - 1)
    assert audio.sdr_db(expected, samples * scale) > 20


@pytest.mark.parametrize("kbps", BITRATES_KBPS)
@pytest.mark.parametrize("format", ["mp3", "m4a", "ogg"])
def test_a_stem_has_the_bit_rate_that_was_asked_for(tmp_path, format, kbps):
    song = audio.feelings(0.8).mix[: 3 * 44100]
    stems = FloatStems({"vocals": audio.write(tmp_path / "v.wav", song)})
    source = PreparedSource(stems.paths["vocals"], 44100, len(song))
    done = finished(tmp_path, stems, source, format=format, bitrate_kbps=kbps)
    found = done.stems["vocals"].path.stat().st_size * 8 / 3 / 1000
    assert found == pytest.approx(kbps, rel=0.25 if format == "ogg" else 0.12)
    assert done.output.bitrate_kbps == kbps
    samples, _ = by_ffmpeg(done.stems["vocals"].path)
    level = (samples * song).sum() / (song**2).sum()
    assert level == pytest.approx(1, abs=0.01 if format == "mp3" else 0.03)  # LAME would make it quieter


def test_24_bit_flac_holds_the_same_samples_as_wav(tmp_path):
    stems, source = made_up(tmp_path, 44100, 20_000)
    read = {}
    for format in ("wav", "flac"):
        done = finished(tmp_path, stems, source, format=format, bit_depth=24)
        path = done.stems["vocals"].path
        assert soundfile.info(path).subtype == "PCM_24"
        read[format] = audio.read(path)
    assert np.array_equal(read["wav"], read["flac"])


@pytest.mark.parametrize(
    ("output", "default", "expected"),
    [
        (None, "wav", ("wav", 44100, 16, None)),
        (None, "mp3", ("mp3", 44100, None, 320)),
        (Output(format="m4a"), "wav", ("m4a", 44100, None, 320)),
        (Output(format="ogg", bitrate_kbps=96), "wav", ("ogg", 44100, None, 96)),
        (Output(bit_depth=24), "flac", ("flac", 44100, 24, None)),
        (Output(bit_depth=24), "mp3", ("wav", 44100, 24, None)),
        (Output(bit_depth=32), "flac", ("wav", 44100, 32, None)),
        (Output(sample_rate="source"), "mp3", ("mp3", "source", None, 320)),
    ],
)
def test_what_is_left_open_is_the_operators_or_the_formats(output, default, expected):
    found = resolve(output, default)
    assert (found.format, found.sample_rate, found.bit_depth, found.bitrate_kbps) == expected
    assert (found.normalize, found.keep_tags) == ("none", False)


@pytest.mark.parametrize(("format", "rate"), [("mp3", 96000), ("m4a", 192000)])
def test_a_rate_that_the_format_does_not_have_is_an_error_with_those_that_it_has(format, rate):
    with pytest.raises(PermanentError, match=f"{format} has no sample rate of {rate} Hz: .* 48000") as caught:
        resolve(Output.model_construct(format=format, sample_rate=rate), "wav")
    assert caught.value.code == ErrorCode.FORMAT_UNSUPPORTED
    with pytest.raises(ValueError, match=f"{format} has no sample rate above"):
        Output(format=format, sample_rate=rate)


def test_low_rates_have_the_most_bits_that_their_format_has(tmp_path):
    mp3, m4a = resolve(Output(format="mp3"), "wav"), resolve(Output(format="m4a"), "wav")
    assert [mp3.bitrate_at(rate) for rate in (8000, 22050, 44100)] == [64, 160, 320]
    assert [m4a.bitrate_at(rate) for rate in (8000, 22050, 44100)] == [96, 264, 320]


@pytest.mark.parametrize("rate", [1000, 7350, 37_800, 352_800, 96_001])
@pytest.mark.parametrize("format", FORMATS)
def test_a_song_of_an_odd_rate_is_finished_at_the_nearest_rate(tmp_path, format, rate):
    stems, source = made_up(tmp_path, rate, rate // 2)
    done = finished(tmp_path, stems, source, format=format, sample_rate="source")
    samples, heard_rate = by_ffmpeg(done.stems["vocals"].path)
    assert heard_rate == done.output.sample_rate_hz
    assert len(samples) == source.frames_at(heard_rate)
