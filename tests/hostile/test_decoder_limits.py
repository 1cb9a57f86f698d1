"""Each limit of the decoder's process bites: on memory, CPU time and file size; and the caller lives on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.prepare import AudioLimits, DecoderLimits, prepare
from tests.support import audio
from tests.support.processor.hostile_files import mp4_patched

pytestmark = pytest.mark.usefixtures("no_forks")

LIMITS = AudioLimits(max_duration_s=3600, max_channels=2)
WITHIN = DecoderLimits.for_audio(LIMITS)
MIB = 1 << 20


def refused(source: Path, within: DecoderLimits) -> PermanentError:
    target = source.with_name("mix.wav")
    with pytest.raises(PermanentError) as caught:
        prepare(source, target, LIMITS, lambda: None, within)
    assert not target.exists()
    return caught.value


def decodes(source: Path) -> bool:
    return prepare(source, source.with_name("mix.wav"), LIMITS, lambda: None, WITHIN).frames > 0


@pytest.fixture(scope="module")
def long_song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("long") / "song.flac"
    return audio.write(path, np.zeros((3000 * audio.SAMPLE_RATE, 2), np.int16), "PCM_16")


def test_memory(tmp_path):
    # A table of 60 million sizes is made room for before it turns out that the file ends in it.
    song = tmp_path / "song.m4a"
    song.write_bytes(mp4_patched(b"stsz", 4, ">II", 0, 60_000_000)(tmp_path))
    assert "memory" not in refused(song, WITHIN).message
    error = refused(song, replace(WITHIN, memory_bytes=400 * MIB))
    assert (error.code, "memory" in error.message) == (ErrorCode.NOT_AUDIO, True)


@pytest.mark.slow
def test_cpu_time(long_song):
    assert decodes(long_song)
    error = refused(long_song, replace(WITHIN, cpu_s=1))
    assert (error.code, "SIGXCPU" in error.message) == (ErrorCode.NOT_AUDIO, True)


def test_file_size(long_song):
    error = refused(long_song, replace(WITHIN, file_bytes=10 * MIB))
    assert error.code == ErrorCode.TOO_LONG
    assert str(long_song.parent) not in error.message
