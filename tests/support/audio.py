"""Songs for tests: the one with known stems, variants of it in every format, broken files, and SDR."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from tests.support.paths import REPOSITORY

SAMPLE_RATE = 44100
FEELINGS = REPOSITORY / "tests" / "data" / "feelings"


@dataclass(frozen=True)
class Song:
    """float32 [frame, 2] at 44.1 kHz; `mix` = `vocals` + `instrumental`."""

    mix: np.ndarray
    vocals: np.ndarray
    instrumental: np.ndarray

    def part(self, start_s: int, end_s: int) -> "Song":
        kept = slice(start_s * SAMPLE_RATE, end_s * SAMPLE_RATE)
        return Song(self.mix[kept], self.vocals[kept], self.instrumental[kept])


def feelings(peak: float = 1.0) -> Song:
    """The song, all parts scaled alike so that the mix has this peak."""
    parts = _feelings()
    scale = peak / np.abs(parts[0]).max()
    return Song(*(part * np.float32(scale) for part in parts))


@functools.cache
def _feelings() -> tuple[np.ndarray, ...]:
    """The mix and its parts, whose files take longest to decode."""
    return tuple(read(FEELINGS / f"{name}.flac") for name in ("mix", "vocals", "instrumental"))


def noise(seconds: float, seed: int = 0, peak: float = 0.5) -> np.ndarray:
    """float32 [frame, 2], the sides partly alike."""
    generator = np.random.default_rng(seed)
    frames = max(1, round(seconds * SAMPLE_RATE))
    sides = generator.uniform(-1, 1, (frames, 3)).astype(np.float32)
    samples = sides[:, :2] + sides[:, 2:]
    return samples * np.float32(peak / np.abs(samples).max())


def long_noise(seconds: int) -> np.ndarray:
    """One second of noise again and again: minutes of `noise` take seconds of CPU."""
    return np.tile(noise(1), (seconds, 1))


def sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """10·log₁₀(Σ s² / Σ (s - ŝ)²) over all frames and channels; infinite if they are equal."""
    reference = reference.astype(np.float64)
    error = ((reference - estimate) ** 2).sum()
    return 10 * np.log10((reference**2).sum() / error) if error else np.inf


def read(path: Path) -> np.ndarray:
    """float32 [frame, channel]."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def read_int16(path: Path) -> np.ndarray:
    """int32 [frame, channel] of a 16-bit file, so that sums cannot overflow."""
    return soundfile.read(path, dtype="int16", always_2d=True)[0].astype(np.int32)


def write(path: Path, samples: np.ndarray, subtype: str = "FLOAT", rate: int = SAMPLE_RATE) -> Path:
    """By libsndfile, in the format of the name's ending."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def encode(
    path: Path,
    samples: np.ndarray,
    codec: str,
    rate: int = SAMPLE_RATE,
    container: str | None = None,
    options: dict[str, str] | None = None,
    bit_rate: int | None = 192_000,
    quality: int | None = None,
) -> Path:
    """By FFmpeg's encoders: libmp3lame, aac, alac, flac, libopus ... `samples` are stereo at 44.1 kHz.

    `quality`: variable bit rate at this of libmp3lame's -q levels; `options` are the container's.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        if quality is not None:
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = quality * 118
        elif bit_rate is not None:
            stream.bit_rate = bit_rate
        for frame in _frames(samples):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
    parts = [part for frame in _frames(samples) for part in resampler.resample(frame)]
    parts += resampler.resample(None)
    return np.concatenate([part.to_ndarray().T for part in parts])


def video_only(path: Path) -> Path:
    """A Matroska file with a picture track and no sound."""
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def truncated(path: Path, source: Path, share: float = 0.6) -> Path:
    """The first part of a file, as a broken download leaves it."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _frames(samples: np.ndarray) -> Iterator[av.AudioFrame]:
    for start in range(0, len(samples), 4096):
        block = np.ascontiguousarray(samples[start : start + 4096].T)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        yield frame
