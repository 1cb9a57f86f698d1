"""Makes songs of any length, by repeating the tests' song with singing."""

from pathlib import Path

import soundfile

from tests.support.audio import FEELINGS

_BLOCK_FRAMES = 1 << 18


def song(directory: Path, seconds: float, prepared: bool = False) -> Path:
    """Return a FLAC file as users send it, or with `prepared` the float WAV that an engine gets.

    Each file is made once in `directory`.
    """
    path = directory / f"song-{seconds:g}s.{'wav' if prepared else 'flac'}"
    if not path.exists():
        _write(path, seconds, "FLOAT" if prepared else "PCM_16")
    return path


def _write(path: Path, seconds: float, subtype: str) -> None:
    with (
        soundfile.SoundFile(FEELINGS / "mix.flac") as source,
        soundfile.SoundFile(path, "w", source.samplerate, source.channels, subtype) as target,
    ):
        left = round(seconds * source.samplerate)
        while left:
            if source.tell() == source.frames:
                source.seek(0)
            block = source.read(min(left, _BLOCK_FRAMES), dtype="float32", always_2d=True)
            target.write(block)
            left -= len(block)
