"""Makes the songs of a soak and computes their stems, which differ from job to job."""

import hashlib
import io
import json

import numpy as np
import soundfile

from soak.plan import Job

RATE = 44100
_SHARES = {"vocals": 0.25, "instrumental": 0.75}
# The stand-in engine's settings. It works 0.6 s for each second of a song: long enough for a kill to hit it,
# short enough for a thousand songs.
ENGINE_SETTINGS = {
    "ENGINE_SLEEP_SHARE": "0.6",
    "ENGINE_STEM_SHARES": json.dumps(_SHARES),
    "ENGINE_INSTALLED": "yes",
}
_PATTERN_FRAMES = 4410


def song(job: Job) -> bytes:
    """Return a 16-bit WAV file of noise that only this job has, and those that repeat it."""
    frames = round(job.seconds * RATE)
    pattern = np.random.default_rng(job.song_number).integers(-20000, 20000, (_PATTERN_FRAMES, 2), np.int16)
    samples = np.tile(pattern, (-(-frames // _PATTERN_FRAMES), 1))[:frames]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def stem_digests(job: Job) -> dict[str, str]:
    """Return the sha256 of each stem that the stand-in engine makes of the job's song."""
    mix, _ = soundfile.read(io.BytesIO(song(job)), dtype="float32")
    digests = {}
    for name, share in _SHARES.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, mix * np.float32(share), RATE, format="WAV", subtype="PCM_16")
        digests[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
    return digests
