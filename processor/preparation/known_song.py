"""Gives the song whose stems are known, which shows how well and how fast a model separates."""

from pathlib import Path

import soundfile

from processor.audio.wav import SAMPLE_RATE
from processor.separation.overlap_add import Samples

_DIRECTORY = Path(__file__).with_name("known_song")
_STEMS = ("vocals", "instrumental")
SECONDS = 12


def stems() -> dict[str, Samples]:
    """Return the known stems by name, float32 [frame, 2] at 44.1 kHz. The song's mix is their sum."""
    return {name: read(_DIRECTORY / f"{name}.flac") for name in _STEMS}


def write_mix(directory: Path) -> Path:
    """Write the song's mix as a WAV file that an engine takes; return its path."""
    path = directory / "known-song.wav"
    soundfile.write(path, sum(stems().values()), SAMPLE_RATE, subtype="FLOAT")
    return path


def read(path: Path) -> Samples:
    """Return the samples of an audio file, float32 [frame, 2]."""
    samples: Samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return samples
