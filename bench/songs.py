"""Songs of any length: the tests' song with singing, over and over."""

from pathlib import Path

import soundfile

from tests.support.audio import FEELINGS

_BLOCK_FRAMES = 1 << 18


def song(directory: Path, seconds: float, prepared: bool = False) -> Path:
    """A FLAC as users send it, or, `prepared`, the float WAV that an engine gets. Made once a directory."""
    path = directory / f"song-{seconds:g}s.{'wav' if prepared else 'flac'}"
    if not path.exists():
        _write(path, seconds, "FLOAT" if prepared else "PCM_16")
    return path


def _write(path: Path, seconds: float, subtype: str) -> None:
    with soundfile.SoundFile(FEELINGS / "mix.flac") as source:
        left = round(seconds * source.samplerate)
        with soundfile.SoundFile(path, "w", source.samplerate, source.channels, subtype) as target:
            while left:
                block = source.read(min(left, _BLOCK_FRAMES), dtype="float32", always_2d=True)
                if not len(block):
                    source.seek(0)
                    continue
                target.write(block)
                left -= len(block)
