"""Makes the songs of a soak and computes their stems, which differ from job to job."""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from soak.plan import Job

RATE = 44100
_SHARES = {"vocals": 0.25, "instrumental": 0.75}
_PATTERN_FRAMES = 4410


def song(job: Job) -> bytes:
    """Return a 16-bit WAV file of noise that only this job has."""
    frames = round(job.seconds * RATE)
    pattern = np.random.default_rng(job.number).integers(-20000, 20000, (_PATTERN_FRAMES, 2), np.int16)
    samples = np.tile(pattern, (-(-frames // _PATTERN_FRAMES), 1))[:frames]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def write_stems(mix: np.ndarray, targets: dict[str, Path | BinaryIO]) -> None:
    """Write the stand-in engine's stems of a mix, float32 [frame, 2]: fixed shares of the mix, in 16 bits."""
    for name, target in targets.items():
        soundfile.write(target, mix * np.float32(_SHARES[name]), RATE, format="WAV", subtype="PCM_16")


def stem_digests(job: Job) -> dict[str, str]:
    """Return the sha256 of each stem that the stand-in engine makes of the job's song."""
    mix, _ = soundfile.read(io.BytesIO(song(job)), dtype="float32")
    buffers = {name: io.BytesIO() for name in _SHARES}
    write_stems(mix, buffers)
    return {name: hashlib.sha256(buffer.getvalue()).hexdigest() for name, buffer in buffers.items()}


def stem_names() -> tuple[str, ...]:
    """Return the names of the stand-in engine's stems."""
    return tuple(_SHARES)
