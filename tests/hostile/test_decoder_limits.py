"""Each limit of the decoder's process bites: on memory, CPU time and file size; and the caller lives on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.prepare import AudioLimits, DecoderLimits, prepare
from processor.child_process import Spawn, spawn_for_song
from processor.fork_server import ForkServer
from tests.support import audio
from tests.support.processor.hostile_files import mp4_patched
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("no_forks")

LIMITS = AudioLimits(max_duration_s=3600, max_channels=2)
WITHIN = DecoderLimits.for_audio(LIMITS)
MIB = 1 << 20


@pytest.fixture(params=["fresh", "forked"])
def spawn(request: pytest.FixtureRequest) -> Iterator[Spawn]:
    """Starts a decoder as an interpreter of its own, or as a fork."""
    if request.param == "fresh":
        yield spawn_for_song
        return
    server = ForkServer()
    server.start()
    wait_for(lambda: server.pid, 30, "a fork server")
    yield server.spawn
    server.stop()


def refused(source: Path, within: DecoderLimits, spawn: Spawn) -> PermanentError:
    target = source.with_name("mix.wav")
    # The clock stands still: a decoder that waits for the CPU is not one that hangs.
    with pytest.raises(PermanentError) as caught:
        prepare(source, target, LIMITS, lambda: None, within, clock=lambda: 0.0, spawn=spawn)
    assert not target.exists()
    return caught.value


def decodes(source: Path, spawn: Spawn) -> bool:
    target = source.with_name("mix.wav")
    return prepare(source, target, LIMITS, lambda: None, WITHIN, spawn=spawn).frames > 0


@pytest.fixture(scope="module")
def long_song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("long") / "song.flac"
    return audio.write(path, np.zeros((3000 * audio.SAMPLE_RATE, 2), np.int16), "PCM_16")


def test_memory(tmp_path, spawn):
    # A table of 60 million sizes is made room for before it turns out that the file ends in it.
    song = tmp_path / "song.m4a"
    song.write_bytes(mp4_patched(b"stsz", 4, ">II", 0, 60_000_000)(tmp_path))
    assert "memory" not in refused(song, WITHIN, spawn).message
    error = refused(song, replace(WITHIN, memory_bytes=400 * MIB), spawn)
    assert (error.code, "memory" in error.message) == (ErrorCode.NOT_AUDIO, True)


@pytest.mark.slow
def test_cpu_time(long_song, spawn):
    assert decodes(long_song, spawn)
    error = refused(long_song, replace(WITHIN, cpu_s=1), spawn)
    assert (error.code, "SIGXCPU" in error.message) == (ErrorCode.NOT_AUDIO, True)


def test_file_size(long_song, spawn):
    error = refused(long_song, replace(WITHIN, file_bytes=10 * MIB), spawn)
    assert error.code == ErrorCode.TOO_LONG
    assert str(long_song.parent) not in error.message
