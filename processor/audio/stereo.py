"""Makes float32 stereo of the frames that a decoder gives, whatever their format, channels and rate."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame

from common.errors import ErrorCode, PermanentError
from processor.audio import downmix
from processor.audio.containers.audio_kind import not_audio

_RATES = range(1_000, 768_001)  # below, a few bytes become hours of sound
_BLOCK_FRAMES = 16384
# Coders' padding: at most two frames of HE-AAC. What is longer than declared by more was not padded.
_PADDING_SAMPLES = 4096


@dataclass(frozen=True)
class Block:
    """float32 [frame, 2] at the song's own `rate`; `strange` counts the numbers that were none."""

    samples: np.ndarray
    rate: int
    strange: int


def stereo(frames: Iterator[AudioFrame], max_channels: int) -> Iterator[Block]:
    """Yield stereo blocks. A stream may change rate and layout on its way."""
    converter, weights, shape = None, None, None
    for frame in frames:
        check_shape(frame.layout.nb_channels, frame.sample_rate, max_channels)
        if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            if converter:
                yield from _mixed(converter.resample(None), weights)
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            # Packed, because PyAV loses count of the planes of eight channels or more and crashes.
            # The rate stays: what brings it to 44.1 kHz is `Resampler`.
            converter = av.AudioResampler("flt", frame.layout, frame.sample_rate, frame_size=_BLOCK_FRAMES)
            weights = downmix.matrix([channel.name for channel in frame.layout.channels])
        frame.pts = None  # gaps and jumps of a damaged file are not to be filled
        yield from _mixed(converter.resample(frame), weights)
    if converter:
        yield from _mixed(converter.resample(None), weights)


def _mixed(frames: list[AudioFrame], weights: np.ndarray) -> Iterator[Block]:
    for frame in frames:
        samples = frame.to_ndarray().reshape(-1, weights.shape[1])
        strange = 0
        if not np.isfinite(samples).all():
            strange = int(np.count_nonzero(~np.isfinite(samples).all(axis=1)))
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if not _keeps(weights):
            samples = samples @ weights.T
        yield Block(samples, frame.sample_rate, strange)


def _keeps(weights: np.ndarray) -> bool:
    return np.array_equal(weights, np.eye(2))


def without_padding(blocks: Iterator[Block], length_s: Callable[[Fraction], Fraction]) -> Iterator[Block]:
    """Hold back the end until all is known, and cut a coder's padding from it.

    `length_s` gets the length found and returns the one to keep.
    """
    held: list[Block] = []
    count, total_s = 0, Fraction(0)
    for block in blocks:
        held.append(block)
        count += len(block.samples)
        total_s += Fraction(len(block.samples), block.rate)
        while count - len(held[0].samples) >= _PADDING_SAMPLES:
            count -= len(held[0].samples)
            yield held.pop(0)
    excess = round((total_s - length_s(total_s)) * held[-1].rate) if held else 0
    if not 0 < excess <= _PADDING_SAMPLES:
        excess = 0
    for block in reversed(list(held)):
        if not excess:
            break
        held.pop()
        kept = max(0, len(block.samples) - excess)
        excess -= len(block.samples) - kept
        if kept:
            held.append(Block(block.samples[:kept], block.rate, block.strange))
    yield from held


def check_shape(channels: int, rate: int, max_channels: int) -> None:
    if channels > max_channels:
        raise PermanentError(
            ErrorCode.TOO_MANY_CHANNELS,
            f"The file has {channels} channels, at most {max_channels} are allowed",
        )
    if rate not in _RATES:
        raise not_audio(f"its sample rate is {rate} Hz")
