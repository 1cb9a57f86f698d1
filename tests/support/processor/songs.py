"""Makes songs in unusual containers, which people have and decoders misread, with their lengths."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

from processor.audio import decode
from tests.support import audio

RATE = audio.SAMPLE_RATE
PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def decoded(path: Path, max_duration_s: float = 60) -> tuple[decode.Decoded, np.ndarray]:
    """Decode the file without a child process; return the result and float32 [frame, 2] at 44.1 kHz."""
    target = path.with_name(path.name + ".mix")
    found = decode.decode(path, target, max_duration_s, 8)
    return found, audio.read(target)


def music(seconds: float, rate: int = RATE, seed: int = 7) -> np.ndarray:
    """Tones that glide, and some noise: float32 [frame, 2], at 16 bits exactly."""
    t = np.arange(round(seconds * rate)) / rate
    generator = np.random.default_rng(seed)
    voice = 0.3 * np.sin(2 * np.pi * (220 + 40 * np.sin(2 * np.pi * 0.7 * t)) * t)
    sides = 0.2 * np.sin(2 * np.pi * 110 * t)[:, None] * [1.0, 0.6]
    x = voice[:, None] + sides + 0.02 * generator.standard_normal((len(t), 2))
    return (np.rint(np.clip(x, -0.95, 0.95) * 32767) / 32768).astype(np.float32)


def file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def encoded(codec: str, container: str, samples: np.ndarray, rate: int = RATE, **options: str) -> bytes:
    """Stereo `samples` of that rate by FFmpeg's encoder and muxer; `options` are the muxer's."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        if codec.startswith("wma"):  # which has no rate of its own
            stream.bit_rate = 128_000
        for start in range(0, len(samples), 4096):
            block = np.ascontiguousarray(samples[start : start + 4096].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def piped(codec: str, container: str, samples: np.ndarray) -> bytes:
    """As a program writes into a pipe, which cannot go back to its header."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return pipe.written


def by_libsndfile(samples: np.ndarray, form: str, subtype: str, rate: int = RATE, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype, **options)
    return buffer.getvalue()


def int_bytes(samples: np.ndarray, width: int) -> bytes:
    """Little-endian signed integers of `width` bytes, the value in the upper bits."""
    whole = np.clip(np.rint(samples.astype(np.float64) * 2**31), -(2**31), 2**31 - 1).astype("<i4")
    return np.ascontiguousarray(whole[..., None].view(np.uint8)[..., 4 - width :]).tobytes()


def fmt(tag: int, bits: int, rate: int = RATE, channels: int = 2, byte_rate: int | None = None) -> bytes:
    """A plain format chunk's content."""
    frame = channels * ((bits + 7) // 8)
    told = rate * frame if byte_rate is None else byte_rate
    return struct.pack("<HHIIHH", tag, channels, rate, told, frame, bits)


def extensible(tag: int, width: int, valid_bits: int, rate: int = RATE, channels: int = 2) -> bytes:
    """WAVE_FORMAT_EXTENSIBLE's, of samples of `width` bytes."""
    frame = channels * width
    head = struct.pack("<HHIIHH", EXTENSIBLE, channels, rate, rate * frame, frame, 8 * width)
    return head + struct.pack("<HHIH", 22, valid_bits, 3 if channels == 2 else 0, tag) + GUID_TAIL


def riff(
    format_chunk: bytes,
    data: bytes,
    data_size: int | None = None,
    riff_size: int | None = None,
    behind: bytes = b"",
) -> bytes:
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(format_chunk)) + format_chunk
    body += b"data" + struct.pack("<I", size) + data + behind
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def rf64(format_chunk: bytes, data: bytes, data_size: int | None = None, name: bytes = b"RF64") -> bytes:
    size = len(data) if data_size is None else data_size
    chunk = b"fmt " + struct.pack("<I", len(format_chunk)) + format_chunk
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, size, 0, 0)
    return name + b"\xff" * 4 + b"WAVE" + ds64 + chunk + b"data" + b"\xff" * 4 + data


def w64(format_chunk: bytes, data: bytes, data_size: int | None = None) -> bytes:
    def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
        told = 24 + len(content) if size is None else size
        return name + W64_TAIL + struct.pack("<Q", told) + content + bytes(-len(content) % 8)

    told = None if data_size is None else 24 + data_size
    body = chunk(b"fmt ", format_chunk) + chunk(b"data", data, told)
    wave = b"wave" + W64_TAIL
    return bytes.fromhex("726966662e91cf11a5d628db04c10000") + struct.pack("<Q", 40 + len(body)) + wave + body


def id3v2(content: bytes, footer: bool = False) -> bytes:
    digits = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    flags = b"\x10" if footer else b"\0"
    behind = b"3DI\x04\0" + flags + digits if footer else b""
    return b"ID3\x04\0" + flags + digits + content + behind


def ape(items: bytes, header: bool = True, footer: bool = True) -> bytes:
    def end(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, 1, flags) + bytes(8)

    has_header = 1 << 31 if header else 0
    head = end(has_header | 1 << 29) if header else b""
    return head + items + (end(has_header) if footer else b"")


def mp4_box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def itunes_remark(priming: int, padding: int, samples: int) -> bytes:
    """An ilst item with the iTunSMPB remark."""
    text = f" 00000000 {priming:08X} {padding:08X} {samples:016X} 00000000 00000000".encode()
    item = mp4_box(b"mean", bytes(4) + b"com.apple.iTunes") + mp4_box(b"name", bytes(4) + b"iTunSMPB")
    return mp4_box(b"----", item + mp4_box(b"data", struct.pack(">II", 1, 0) + text))


def with_itunes_remark(m4a: bytes, item: bytes) -> bytes:
    """An m4a whose index comes last, without its edit list and with this remark."""
    data = m4a.replace(b"edts", b"free", 1)
    handler = mp4_box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    metadata = mp4_box(b"udta", mp4_box(b"meta", bytes(4) + handler + mp4_box(b"ilst", item)))
    moov = data.rindex(b"moov") - 4
    box = data[moov:].replace(b"udta", b"free", 1) + metadata
    return data[:moov] + struct.pack(">I", len(box)) + box[4:]
