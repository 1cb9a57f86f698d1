"""Finishing takes the same memory for a song of any length."""

import subprocess
import sys
from pathlib import Path

import pytest

from processor.audio import wav
from tests.support.paths import REPOSITORY

RATE = 48000
SCRIPT = """
import resource, sys
from pathlib import Path
from common.tasks.messages.choices import Output
from processor.audio.prepare import PreparedSource
from processor.output import writing
from processor.output.finish import FloatStems, plan
from processor.output.resolved import resolve
from processor.separation.loaded_model import Residual

directory, frames = Path(sys.argv[1]), int(sys.argv[2])
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


def peak_kib(directory: Path, minutes: int) -> int:
    directory.mkdir()
    silent(directory / "v.wav", minutes, 44100)
    frames = silent(directory / "own.wav", minutes, RATE)
    argv = [sys.executable, "-c", SCRIPT, str(directory), str(frames)]
    return int(subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(tmp_path):
    short, long = peak_kib(tmp_path / "short", 2), peak_kib(tmp_path / "long", 20)
    assert long < 1.025 * short
