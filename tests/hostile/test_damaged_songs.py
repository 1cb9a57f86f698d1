"""Real songs cut off and with bytes changed: refused with a code, or decoded to no more than they were."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.prepare import AudioLimits, prepare
from tests.support import audio
from tests.support.processor.hostile_files import encoded

LIMITS = AudioLimits(max_duration_s=60, max_channels=8)
SECONDS = 2.0
FRAMES = round(SECONDS * audio.SAMPLE_RATE)
NOISE = audio.noise(SECONDS)
CUTS = (0.003, 0.1, 0.5, 0.9)
MUTANTS = 4
CODES = {
    ErrorCode.NOT_AUDIO,
    ErrorCode.TRUNCATED_AUDIO,
    ErrorCode.EMPTY_FILE,
    ErrorCode.NO_AUDIO_STREAM,
    ErrorCode.TOO_LONG,
    ErrorCode.TOO_MANY_CHANNELS,
}

WHOLE = {
    "wav": lambda directory: audio.write(directory / "a.wav", NOISE, "PCM_16").read_bytes(),
    "flac": lambda directory: audio.write(directory / "a.flac", NOISE, "PCM_16").read_bytes(),
    "aiff": lambda directory: audio.write(directory / "a.aiff", NOISE, "PCM_16").read_bytes(),
    "ogg": lambda directory: audio.write(directory / "a.ogg", NOISE, "VORBIS").read_bytes(),
    "mp3": encoded("a.mp3", "libmp3lame", NOISE),
    "m4a": encoded("a.m4a", "aac", NOISE),
    "faststart": encoded("a.m4a", "aac", NOISE, options={"movflags": "faststart"}),
    "alac": encoded("a.m4a", "alac", NOISE, bit_rate=None),
    "opus": encoded("a.opus", "libopus", NOISE, rate=48000, container="ogg"),
    "mka": encoded("a.mka", "aac", NOISE),
    "webm": encoded("a.webm", "libopus", NOISE, rate=48000),
    "aac": encoded("a.aac", "aac", NOISE, container="adts"),
}
# Nothing in these tells how long they are, so that a part of one is a shorter song.
UNDECLARED = ("ogg", "opus", "aac")


def outcome(directory: Path, name: str, data: bytes) -> ErrorCode | int:
    """The code, or the frames decoded, once it is sure that nothing else stayed or grew."""
    source, target = directory / name, directory / f"{name}.out"
    source.write_bytes(data)
    try:
        prepared = prepare(source, target, LIMITS, lambda: None)
    except PermanentError as error:
        assert not target.exists()
        return error.code
    assert np.isfinite(prepared.peak)
    assert target.stat().st_size < 8 * prepared.frames + 1000
    target.unlink()
    return prepared.frames


def outcomes(directory: Path, damaged: Iterator[bytes]) -> list[ErrorCode | int]:
    """Two decoders at a time."""
    named = [(directory, f"song{number}", data) for number, data in enumerate(damaged)]
    with ThreadPoolExecutor(2) as decoders:
        return list(decoders.map(lambda arguments: outcome(*arguments), named))


@pytest.mark.parametrize("kind", WHOLE)
def test_a_song_cut_off_is_refused_or_a_shorter_song(tmp_path, kind):
    data = WHOLE[kind](tmp_path)
    ends = outcomes(tmp_path, (data[: int(len(data) * cut)] for cut in CUTS))
    for end in ends:
        if isinstance(end, int):
            assert kind in UNDECLARED
            assert end < FRAMES
        else:
            assert end in (ErrorCode.TRUNCATED_AUDIO, ErrorCode.NOT_AUDIO, ErrorCode.NO_AUDIO_STREAM)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_song_with_bytes_changed_is_refused_or_decoded_within_bounds(tmp_path, kind):
    ends = outcomes(tmp_path, mutants(WHOLE[kind](tmp_path), seed=list(WHOLE).index(kind)))
    assert len(ends) == MUTANTS
    for end in ends:
        assert end in CODES or end <= LIMITS.max_duration_s * audio.SAMPLE_RATE


def mutants(data: bytes, seed: int) -> Iterator[bytes]:
    """Half of them damaged in the first kilobyte alone, where the sizes and counts are."""
    generator = np.random.default_rng(seed)
    for number in range(MUTANTS):
        damaged = bytearray(data)
        reach = min(len(data), 1024) if number % 2 else len(data)
        for place in generator.integers(0, reach, max(4, reach // 200)):
            damaged[place] = generator.choice([0, 0xFF, 0x7F, 0x80, int(generator.integers(256))])
        yield bytes(damaged)
