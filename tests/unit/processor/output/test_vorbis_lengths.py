"""Ogg stems of any length: two decoders find the song's samples, wherever its last blocks and pages lie."""

import numpy as np
import pytest
import soundfile

from processor.audio.prepare import PreparedSource
from processor.output.finish import FloatStems
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.finishing import by_ffmpeg, finished

_SLOW = [pytest.param(rate, marks=pytest.mark.slow) for rate in (44100, 48000, 96000)]
RATES = [8000, *_SLOW]
TAGS = {"title": "A song", "artist": "Someone"}


def rhythm(frames: int, rate: int) -> np.ndarray:
    """Music with a beat every 0.17 s, so that libvorbis changes between long and short blocks."""
    samples = songs.music(frames / rate + 0.1, rate)[:frames] * np.float32(0.5)
    for start in range(round(0.1 * rate), frames, round(0.17 * rate)):
        samples[start : start + 60] += np.float32(0.4)
    return samples


def lengths(rate: int) -> list[int]:
    """Half of the lengths are below 2 s, where pages have one block each."""
    generator = np.random.default_rng(rate)
    short, long = generator.integers(1, 2 * rate, 10), generator.integers(2 * rate, 6 * rate, 10)
    return [1, 100, 700, *map(int, short), *map(int, long)]


@pytest.mark.parametrize("tags", [{}, TAGS], ids=["plain", "with tags"])
@pytest.mark.parametrize("rate", RATES)
def test_an_ogg_stem_has_the_songs_samples_for_every_decoder(tmp_path, rate, tags):
    whole = rhythm(6 * rate, rate)
    wrong = []
    for frames in lengths(rate):
        path = audio.write(tmp_path / "song.wav", whole[:frames], rate=rate)
        source = PreparedSource(path, rate, frames, tags)
        done = finished(
            tmp_path, FloatStems({"song": path}), source, format="ogg", sample_rate=rate, tags="keep"
        )
        stem = done.stems["song"].path
        found = (len(soundfile.read(stem)[0]), soundfile.info(stem).frames, len(by_ffmpeg(stem)[0]))
        if set(found) != {frames}:
            wrong.append((frames, *found))
    assert not wrong
