"""Makes files whose headers lie, and small files that decode to very much."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from tests.support import audio

SECOND = audio.SAMPLE_RATE
NOISE = audio.noise(0.5)


def wav(
    rate: int = SECOND,
    channels: int = 2,
    bits: int = 16,
    kind: int = 1,
    declared_bytes: int | None = None,
    before: bytes = b"",
    data: bytes = bytes(8000),
) -> bytes:
    """One whose format chunk says just this, however senseless. `before`: chunks ahead of the data."""
    align = max(1, channels * bits // 8)
    told = (kind, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits)
    size = len(data) if declared_bytes is None else declared_bytes
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, *told) + before + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def rf64(data_bytes: int, ds64_bytes: int = 28) -> bytes:
    """One whose ds64 chunk declares `data_bytes`, and itself to be of `ds64_bytes`."""
    plain = wav(declared_bytes=0xFFFFFFFF)
    sizes = struct.pack("<QQQI", data_bytes, data_bytes, 0, 0)
    return b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", ds64_bytes) + sizes + plain[12:]


def encoded(name: str, codec: str, samples: np.ndarray = NOISE, **options) -> Callable[[Path], bytes]:
    return lambda directory: audio.encode(directory / name, samples, codec, **options).read_bytes()


def flac_declaring(frames: int, samples: np.ndarray = NOISE) -> Callable[[Path], bytes]:
    def make(directory: Path) -> bytes:
        data = bytearray(audio.write(directory / "whole.flac", samples, "PCM_16").read_bytes())
        data[21] = data[21] & 0xF0 | frames >> 32
        struct.pack_into(">I", data, 22, frames & 0xFFFFFFFF)
        return bytes(data)

    return make


def flac_with(block_type: int, content: bytes) -> Callable[[Path], bytes]:
    """One with a metadata block ahead of the others that are not the first."""

    def make(directory: Path) -> bytes:
        data = audio.write(directory / "whole.flac", NOISE, "PCM_16").read_bytes()
        block = bytes([block_type]) + len(content).to_bytes(3, "big") + content
        return data[:42] + block + data[42:]

    return make


def mp3_declaring(frames: int) -> Callable[[Path], bytes]:
    def make(directory: Path) -> bytes:
        data = bytearray(audio.encode(directory / "whole.mp3", NOISE, "libmp3lame").read_bytes())
        mark = data.find(b"Xing") if b"Xing" in data else data.index(b"Info")
        struct.pack_into(">I", data, mark + 8, frames)
        return bytes(data)

    return make


def mp3_after_id3(size: int | None, content: bytes) -> Callable[[Path], bytes]:
    """`size` is what the tag says of itself; None the truth."""

    def make(directory: Path) -> bytes:
        song = audio.encode(directory / "whole.mp3", NOISE, "libmp3lame", options={"id3v2_version": "0"})
        told = len(content) if size is None else size
        digits = bytes(told >> shift & 0x7F for shift in (21, 14, 7, 0))
        return b"ID3\x03\x00\x00" + digits + content + song.read_bytes()

    return make


def id3_frame(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">IH", len(content), 0) + content


def mp4_patched(box: bytes, at: int, form: str, *values: int) -> Callable[[Path], bytes]:
    """An m4a with `values` written `at` bytes after the name of its first `box`."""

    def make(directory: Path) -> bytes:
        data = bytearray(audio.encode(directory / "whole.m4a", NOISE, "aac").read_bytes())
        struct.pack_into(form, data, data.index(box) + 4 + at, *values)
        return bytes(data)

    return make


def matroska_lasting(duration: bytes) -> Callable[[Path], bytes]:
    """One whose own tag tells this length, of eighteen characters at most."""

    def make(directory: Path) -> bytes:
        data = audio.encode(directory / "whole.mka", NOISE, "flac", bit_rate=None).read_bytes()
        place = data.rindex(b"00:00:00.5")
        return data[:place] + duration.ljust(18) + data[place + 18 :]

    return make


def matroska_with(streams: str, attachment: bytes = b"") -> Callable[[Path], bytes]:
    """`streams`: v for a picture track, a for one of sound, in this order."""

    def make(directory: Path) -> bytes:
        path = directory / "whole.mkv"
        with av.open(str(path), "w", format="matroska") as output:
            tracks = [_track(output, kind) for kind in streams]
            if attachment:
                output.add_attachment("canary.ttf", "font/ttf", attachment)
            for track, kind in zip(tracks, streams, strict=True):
                for frame in _pictures() if kind == "v" else _sound():
                    output.mux(track.encode(frame))
                output.mux(track.encode(None))
        return path.read_bytes()

    return make


def _track(output: av.container.OutputContainer, kind: str):
    if kind == "a":
        track = output.add_stream("flac", rate=SECOND)
        track.layout = "stereo"
        return track
    track = output.add_stream("mpeg4", rate=25)
    track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
    return track


def _pictures() -> Iterator[av.VideoFrame]:
    for _ in range(12):
        yield av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")


def _sound() -> Iterator[av.AudioFrame]:
    samples = (NOISE * 32767).astype(np.int16)
    for start in range(0, len(samples), 4096):
        block = np.ascontiguousarray(samples[start : start + 4096].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SECOND, start
        yield frame


def flac_bomb(seconds: float) -> Callable[[Path], bytes]:
    """Silence of 8 channels at 96 kHz, a thousandth of what it decodes to, its length untold."""

    def make(directory: Path) -> bytes:
        silence = np.zeros((round(96_000 * seconds), 8), np.int16)
        path = audio.write(directory / "whole.flac", silence, "PCM_16", rate=96_000)
        data = bytearray(path.read_bytes())
        data[21], data[22:26] = data[21] & 0xF0, bytes(4)
        return bytes(data)

    return make
