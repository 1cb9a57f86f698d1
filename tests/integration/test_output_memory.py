"""Finishing takes the same memory for a song of any length."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from processor.audio import wav
from tests.support.paths import REPOSITORY

RATE = 48000
# One process finishes all songs, one after the other: the first has loaded what the next ones need.
SCRIPT = """
import resource, sys
from pathlib import Path
from common.tasks.messages.choices import Output
from processor.audio.prepare import PreparedSource
from processor.output import writing
from processor.output.finish import FloatStems, plan
from processor.output.resolved import resolve
from processor.separation.loaded_model import Residual

for directory, frames in zip(map(Path, sys.argv[1::2]), map(int, sys.argv[2::2]), strict=True):
    stems = FloatStems({"vocals": directory / "v.wav"}, Residual("instrumental", "vocals"))
    source = PreparedSource(directory / "own.wav", 48000, frames)
    output = resolve(Output(format="flac", sample_rate="source", normalize="lufs:-14"), "wav")
    writing.write(plan(stems, source, output, None, directory), lambda fraction: None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def silent(path: Path, minutes: int, rate: int) -> int:
    """Write a file that takes no room on the disk; return its frames."""
    frames = minutes * 60 * rate
    with path.open("wb") as file:
        file.write(wav.header("float32", frames, rate=rate))
        file.truncate(file.tell() + frames * wav.frame_bytes("float32"))
    return frames


def peaks_kib(directory: Path, lengths_min: Sequence[int]) -> list[int]:
    """The process's peak after each song."""
    arguments = []
    for minutes in lengths_min:
        song = directory / str(minutes)
        song.mkdir()
        silent(song / "v.wav", minutes, 44100)
        arguments += [str(song), str(silent(song / "own.wav", minutes, RATE))]
    argv = [sys.executable, "-c", SCRIPT, *arguments]
    told = subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    return [int(line) for line in told.splitlines()]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(tmp_path):
    short, long = peaks_kib(tmp_path, (1, 10))
    assert long < 1.025 * short
