"""Begins to decode in the middle of a file, where its container tells the exact sample."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from processor.audio.audio_stream import Packets

# Formats whose places are exact to the sample. MP3 has no places, Matroska's are in milliseconds, and Ogg's
# are those of pages: those songs are decoded from their beginning.
_EXACT = ("flac", "wav", "aiff")
# AAC and ALAC need the frame before the first; a decoder's other memory fades within this time.
_RUN_UP_S = 2
_WORTH_S = 10


class Unseekable(Exception):
    """The place cannot be found exactly, so the song must be decoded from its beginning."""


def is_worth_it(
    container: InputContainer, stream: AudioStream, declared_s: Fraction | None, start_s: Fraction
) -> bool:
    """Tell whether a song of this exact length should be entered shortly before `start_s`."""
    is_exact = container.format.name in _EXACT or container.format.name.startswith("mov")
    # Opus of another rate than 48 kHz can have times in that rate. FFmpeg then decodes the song's beginning
    # with too many samples, and a place in the middle would not be that of the whole song. HE-AAC whose
    # times are in half its rate is decoded from its beginning too, which is slower and exact.
    is_exact = is_exact and (stream.time_base or 1) * stream.codec_context.sample_rate <= 1
    return is_exact and declared_s is not None and _WORTH_S < start_s < declared_s


def frames_before(
    container: InputContainer, stream: AudioStream, packets: Packets, start_s: Fraction
) -> tuple[Fraction, Iterator[AudioFrame]]:
    """Return the frames from a place before `start_s` on, and that place in seconds.

    Raises Unseekable, and av.error.FFmpegError where the container cannot be read on.
    """
    if not stream.time_base:
        raise Unseekable
    try:
        packets.see_first()
        container.seek(int((start_s - _RUN_UP_S) / stream.time_base), stream=stream)
    except av.error.FFmpegError:
        raise Unseekable from None
    frames = packets.frames()
    first = next(frames, None)
    if first is None or first.pts is None or first.time_base is None:
        raise Unseekable
    at_s = first.pts * first.time_base - (stream.start_time or 0) * stream.time_base
    if not 0 <= at_s <= start_s or (at_s * first.sample_rate).denominator != 1:
        raise Unseekable
    return at_s, chain([first], frames)
