"""Settles what a user left open about the output, and which rates and bit rates each format has."""

from dataclasses import dataclass
from typing import Literal

from common.errors import ErrorCode, PermanentError
from common.tasks.messages.choices import BITRATES_KBPS, LOSSLESS, SAMPLE_RATES_HZ, Format, Output
from processor.audio.wav import SAMPLE_RATE

BitDepth = Literal[16, 24, 32]
Rate = int | Literal["source"]
# MPEG-1, 2 and 2.5 audio, and AAC's table; MP3 has no others.
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
# Not less: at 256 kbit/s, M4A and Ogg cost a separated stem over 0.05 dB of its SDR at 48 kHz and above.
_BITRATE_KBPS = 320
# FLAC's header has 20 bits for the rate, and libvorbis has set-ups for these rates.
_MOST_FLAC_HZ = 655_350
_VORBIS_HZ = range(8000, 192_001)
# AAC has at most 6,144 bits per channel in a frame of 1,024 samples.
_AAC_BITS_PER_SAMPLE = 2 * 6144 / 1024
_MPEG2_KBPS, _MPEG25_KBPS = 160, 64


@dataclass(frozen=True)
class ResolvedOutput:
    """A user's choice of output, with nothing left open but the rate of the song.

    `sample_rate` is in Hz, or `source`. `bit_depth` 32 is float; None stands for a lossy format, which has
    `bitrate_kbps`. `normalize` is `none`, `peak` or `lufs:N`.
    """

    format: Format
    sample_rate: Rate = SAMPLE_RATE
    bit_depth: BitDepth | None = None
    bitrate_kbps: int | None = None
    normalize: str = "none"
    keep_tags: bool = False

    @property
    def needs_source(self) -> bool:
        """True where the song is needed at its own rate, beside the models' 44.1 kHz."""
        return self.sample_rate != SAMPLE_RATE

    def rate_hz(self, source_hz: int) -> int:
        """Return the rate of the files, for a song of `source_hz`.

        Where the format lacks the song's own rate, this is the nearest rate that the format has.
        """
        if self.sample_rate != "source":
            return self.sample_rate
        if has_rate(self.format, source_hz):
            return source_hz
        rates = [rate for rate in (*SAMPLE_RATES_HZ, *_AAC_RATES_HZ) if has_rate(self.format, rate)]
        return min(rates, key=lambda rate: (abs(rate - source_hz), -rate))

    def bitrate_at(self, rate_hz: int) -> int | None:
        """Return the bit rate in kbit/s at `rate_hz`: the one asked for, or the most that the format has."""
        if self.bitrate_kbps is None:
            return None
        return min(self.bitrate_kbps, _most_kbps(self.format, rate_hz))


def resolve(output: Output | None, default_format: Format) -> ResolvedOutput:
    """Return the output that the user asked for, with the operator's format where the user named none.

    A `bit_depth` that the operator's format cannot hold gives WAV, because the user named no format. Raises
    PermanentError (format_unsupported) for a rate in Hz that the format does not have.
    """
    asked = output or Output()
    format = asked.format or _format_for(asked.bit_depth, default_format)
    rate = asked.sample_rate or SAMPLE_RATE
    if isinstance(rate, int) and not has_rate(format, rate):
        rates = ", ".join(str(rate) for rate in SAMPLE_RATES_HZ if has_rate(format, rate))
        message = f"{format} has no sample rate of {rate} Hz: choose source, or one of {rates}"
        raise PermanentError(ErrorCode.FORMAT_UNSUPPORTED, message)
    return ResolvedOutput(
        format=format,
        sample_rate="source" if rate == "source" else int(rate),
        bit_depth=(asked.bit_depth or 16) if format in LOSSLESS else None,
        bitrate_kbps=None if format in LOSSLESS else asked.bitrate_kbps or _BITRATE_KBPS,
        normalize=asked.normalize or "none",
        keep_tags=asked.tags == "keep",
    )


def has_rate(format: Format, rate_hz: int) -> bool:
    """Tell whether files of the format can have this sample rate."""
    match format:
        case "mp3":
            return rate_hz in _MP3_RATES_HZ
        case "m4a":
            return rate_hz in _AAC_RATES_HZ
        case "ogg":
            return rate_hz in _VORBIS_HZ
        case "flac":
            return rate_hz < 1 << 16 or (rate_hz % 10 == 0 and rate_hz <= _MOST_FLAC_HZ)
        case "wav":
            return True


def _format_for(depth: BitDepth | None, default: Format) -> Format:
    if depth is None or (default in LOSSLESS and (depth, default) != (32, "flac")):
        return default
    return "wav"


def _most_kbps(format: Format, rate_hz: int) -> int:
    """Return the most kbit/s that the format has at this rate, for two channels."""
    if format == "mp3" and rate_hz < 32_000:
        return _MPEG25_KBPS if rate_hz < 16_000 else _MPEG2_KBPS
    if format == "m4a":
        return int(_AAC_BITS_PER_SAMPLE * rate_hz / 1000)
    return max(BITRATES_KBPS)
