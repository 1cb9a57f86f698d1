"""Converts the frames that a decoder gives, in any sample format, layout and rate, to float32 stereo."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

from common.errors import ErrorCode, PermanentError
from processor.audio import downmix
from processor.audio.containers.audio_kind import not_audio
from processor.audio.wav import MAX_RATE_HZ

_RATES = range(1_000, MAX_RATE_HZ + 1)  # below 1 kHz a few bytes become hours of sound
_BLOCK_FRAMES = 16384
# Encoders pad by at most two frames of HE-AAC. A larger excess over the declared length is no padding.
_PADDING_SAMPLES = 4096


@dataclass(frozen=True)
class Block:
    """`samples`, float32 [frame, 2], at the song's own `rate` in Hz.

    `strange` counts the frames that held NaN or infinite numbers, which are 0 here.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    strange: int


def stereo(frames: Iterator[AudioFrame], max_channels: int) -> Iterator[Block]:
    """Yield stereo blocks; the rate and the layout of `frames` may change on the way.

    Raises PermanentError (too_many_channels, not_audio).
    """
    mixer: _Mixer | None = None
    for frame in frames:
        check_shape(frame.layout.nb_channels, frame.sample_rate, max_channels)
        if mixer is None or mixer.shape != _shape(frame):
            if mixer:
                yield from mixer.mixed(None)
            mixer = _Mixer(frame)
        frame.pts = None  # so that gaps and jumps of a damaged file are not filled
        yield from mixer.mixed(frame)
    if mixer:
        yield from mixer.mixed(None)


def _shape(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


class _Mixer:
    """Converts frames of one `shape` to stereo."""

    def __init__(self, first: AudioFrame):
        self.shape = _shape(first)
        # "flt" is packed: PyAV miscounts the planes of eight or more channels and crashes.
        # Keep the rate, which `Resampler` changes later.
        self._converter = av.AudioResampler("flt", first.layout, first.sample_rate, frame_size=_BLOCK_FRAMES)
        self._weights = downmix.matrix([channel.name for channel in first.layout.channels])
        self._is_stereo = np.array_equal(self._weights, np.eye(2))

    def mixed(self, frame: AudioFrame | None) -> Iterator[Block]:
        """Yield the blocks that `frame` completes; with None the rest."""
        for packed in self._converter.resample(frame):
            samples = cast(npt.NDArray[np.float32], packed.to_ndarray()).reshape(-1, self._weights.shape[1])
            strange = 0
            if not np.isfinite(samples).all():
                strange = int(np.count_nonzero(~np.isfinite(samples).all(axis=1)))
                samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
            if not self._is_stereo:
                samples = samples @ self._weights.T
            yield Block(samples, packed.sample_rate, strange)


def without_padding(blocks: Iterator[Block], length_s: Callable[[Fraction], Fraction]) -> Iterator[Block]:
    """Yield `blocks` without an encoder's padding at their end.

    `length_s` gets the length found and returns the length to keep, both in seconds. The last blocks are held
    back until the whole length is known.
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
    """Raise PermanentError for too many channels (too_many_channels) or a strange rate in Hz (not_audio)."""
    if channels > max_channels:
        raise PermanentError(
            ErrorCode.TOO_MANY_CHANNELS,
            f"The file has {channels} channels, at most {max_channels} are allowed",
        )
    if rate not in _RATES:
        raise not_audio(f"its sample rate is {rate} Hz")
