"""Tells how long a file's sound is where the file states its length exactly.

A frame count, a sample count and an edit list are exact. FFmpeg's guesses from size and bit rate are not. Nor
is Matroska's DURATION tag, the time at which a track ends: the track may begin late or have gaps.
"""

from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer

from processor.audio.containers import flac_frame, mp4_boxes, mpeg_frames, wav_header
from processor.audio.containers.byte_view import ByteView

# Formats whose length FFmpeg takes from a count of samples in the file's header.
_COUNTED = ("aiff", "wv", "tta")
_STREAMINFO_END = 26


def declared_s(container: InputContainer, stream: AudioStream, view: ByteView) -> Fraction | None:
    """Return the stream's length in seconds; None where the file states none exactly. Raises OSError."""
    name = container.format.name
    if name == "mp3":
        return _fraction(mpeg_frames.declared_s(view))
    if name == "flac":
        return _flac_s(view)
    if name.startswith("mov"):
        return _mp4_s(container, stream, view)
    if name == "caf" and stream.codec_context.name.startswith("pcm_"):
        return _stream_s(stream)
    return _stream_s(stream) if name in _COUNTED else None


def wav_s(wav: wav_header.WavFile, found_s: Fraction) -> Fraction | None:
    """Return the length in seconds that a WAV file's declared bytes stand for; None where none are declared.

    `found_s` is the length that the bytes which are there were decoded to.
    """
    if wav.declared is None or not wav.rate or not wav.frame_bytes:
        return None
    if wav.header:
        return Fraction(wav.declared // wav.frame_bytes, wav.rate)
    # Compressed blocks have no fixed length, so scale the length found.
    return found_s * Fraction(wav.declared, wav.present) if wav.present else None


def flac_s(declared: Fraction, found_s: Fraction, first_frame: bytes, last_frame: bytes) -> Fraction:
    """Return the length in seconds of a FLAC file of whose frames none is missing between two others.

    A program that copies a part of a file without encoding leaves the sample count as it is. Such a part
    begins and ends with a whole frame. A file that was cut off or has lost its beginning hardly ever does.
    """
    is_part = found_s < declared and all(map(flac_frame.is_whole, (first_frame, last_frame)))
    return found_s if is_part else declared


def span_s(container: InputContainer, stream: AudioStream) -> Fraction | None:
    """Return the seconds that a Matroska stream lasts by its DURATION tag, gaps included; no song is longer.

    Elsewhere the tag may be that of a longer file: FFmpeg copies it from Matroska to Ogg with a cut.
    """
    if not container.format.name.startswith("matroska"):
        return None
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        end_s = 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except (ValueError, ZeroDivisionError):
        return None
    return end_s - (stream.start_time or 0) * (stream.time_base or 0)


def _fraction(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _stream_s(stream: AudioStream) -> Fraction | None:
    return stream.duration * stream.time_base if stream.duration and stream.time_base else None


def _flac_s(view: ByteView) -> Fraction | None:
    """Return the length that STREAMINFO states; None for 0 samples, which stand for an unknown number."""
    head = view.read_at(0, _STREAMINFO_END)
    if len(head) < _STREAMINFO_END or head[:4] != b"fLaC":
        return None
    bits = int.from_bytes(head[18:26], "big")
    rate, samples = bits >> 44, bits & (1 << 36) - 1
    return Fraction(samples, rate) if rate and samples else None


def _mp4_s(container: InputContainer, stream: AudioStream, view: ByteView) -> Fraction | None:
    samples = mp4_boxes.itunes_samples(container.metadata.get("iTunSMPB", ""))
    if samples and len(container.streams.audio) == 1:
        return Fraction(samples, stream.codec_context.sample_rate)
    return mp4_boxes.heard_s(view, stream.id)
