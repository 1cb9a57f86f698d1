"""Files that lie about themselves: the one code expected of each, or what it decodes to, within bounds."""

import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from common.errors import PermanentError
from processor.audio.prepare import AudioLimits, prepare
from tests.support import audio
from tests.support.canary import watched
from tests.support.processor.hostile_files import (
    NOISE,
    encoded,
    flac_bomb,
    flac_declaring,
    flac_with,
    id3_frame,
    matroska_lasting,
    matroska_with,
    mp3_after_id3,
    mp3_declaring,
    mp4_patched,
    rf64,
    wav,
)

LIMITS = AudioLimits(max_duration_s=60, max_channels=8)
SECOND = audio.SAMPLE_RATE
HALF = len(NOISE)
MIB = 1 << 20

# What the file is, and the code expected, or about how many frames of 44.1 kHz it decodes to.
FILES: dict[str, tuple[bytes | Callable[[Path], bytes], str | int]] = {
    "nothing": (b"", "empty_file"),
    "a byte": (b"R", "not_audio"),
    "zeros": (bytes(100_000), "not_audio"),
    "noise": (np.random.default_rng(1).bytes(100_000), "not_audio"),
    "a page": (b"<!doctype html><title>Sign in</title>" * 100, "not_audio"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(1000), "not_audio"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1000), "not_audio"),
    "wav, no samples": (wav(data=b""), "empty_file"),
    "wav, no channel": (wav(channels=0), "not_audio"),
    "wav, 9 channels": (wav(channels=9), "too_many_channels"),
    "wav, 1,024 channels": (wav(channels=1024), "not_audio"),
    "wav, 65,535 channels": (wav(channels=65535), "not_audio"),
    "wav, 0 Hz": (wav(rate=0), "not_audio"),
    "wav, 1 Hz": (wav(rate=1, data=bytes(160)), "not_audio"),
    "wav, 10 MHz": (wav(rate=10_000_000), "not_audio"),
    "wav, 2 GHz": (wav(rate=0x7FFFFFFF), "not_audio"),
    "wav, 4 GHz": (wav(rate=4_000_000_000), "not_audio"),
    "wav, 0 bits": (wav(bits=0), "not_audio"),
    "wav, 65,535 bits": (wav(bits=65535), "not_audio"),
    "wav, an unknown codec": (wav(kind=0x1234), "not_audio"),
    "wav, a gigabyte declared": (wav(declared_bytes=1 << 30), "too_long"),
    "wav, twice as much declared": (wav(declared_bytes=80_000, data=bytes(40_000)), "truncated_audio"),
    "wav, less declared": (wav(declared_bytes=4000), 1000),
    "wav, an endless chunk before": (wav(before=b"LIST\xff\xff\xff\xff"), "not_audio"),
    "wav, 100,000 chunks before": (wav(before=b"JUNK\x00\x00\x00\x00" * 100_000), 2000),
    "wav, 20 MiB of text before": (
        wav(before=b"LIST" + (20 * MIB).to_bytes(4, "little") + b"INFOINAM" + bytes(20 * MIB - 8)),
        2000,
    ),
    "rf64, 8 EiB declared": (rf64(1 << 63), "not_audio"),
    "rf64, 4 EiB declared": (rf64(1 << 62), "too_long"),
    "rf64, a ds64 chunk of 4 GiB": (rf64(8000, ds64_bytes=0xFFFFFFFF), "not_audio"),
    "flac, no samples": (lambda directory: _flac_head(directory), "truncated_audio"),
    "flac, 2³⁶ samples declared": (flac_declaring(2**36 - 1), "too_long"),
    "flac, more declared": (flac_declaring(2 * HALF), HALF),
    "flac, none declared": (flac_declaring(0), HALF),
    "flac, less declared, too long": (flac_declaring(1, np.zeros((61 * SECOND, 2), np.int16)), "too_long"),
    "flac bomb": (flac_bomb(65), "too_long"),
    "flac, 16 MiB of padding": (flac_with(1, bytes(16 * MIB - 1)), HALF),
    "mp3, 4 billion frames declared": (mp3_declaring(0xFFFFFFFF), "too_long"),
    "mp3, more frames declared": (mp3_declaring(1000), "truncated_audio"),
    "mp3, a tag that never ends": (mp3_after_id3(0xFFFFFFF, b""), "not_audio"),
    "mp3, a comment of 16 MiB": (
        mp3_after_id3(None, id3_frame(b"COMM", b"\x00eng\x00" + b"x" * 16 * MIB)),
        HALF,
    ),
    "mp3, 50,000 tags": (mp3_after_id3(None, id3_frame(b"TXXX", b"\x00a\x00b") * 50_000), HALF),
    "mp3, a picture that is no picture": (
        mp3_after_id3(None, id3_frame(b"APIC", b"\x00image/png\x00\x03\x00" + bytes(MIB))),
        HALF,
    ),
    "cover art only": (
        b"ID3\x03\x00\x00\x00\x00\x00\x40" + id3_frame(b"APIC", b"\x00image/png\x00\x03\x00" + bytes(41)),
        "not_audio",
    ),
    "m4a, a length of centuries": (mp4_patched(b"mdhd", 12, ">II", 1, 0x7FFFFFFF), "truncated_audio"),
    "m4a, a time scale of zero": (mp4_patched(b"mdhd", 12, ">I", 0), "truncated_audio"),
    "m4a, 4 billion samples": (mp4_patched(b"stsz", 4, ">II", 1, 0xFFFFFFFF), "truncated_audio"),
    "m4a, 4 billion of a duration": (
        mp4_patched(b"stts", 8, ">II", 0xFFFFFFFF, 0xFFFFFFFF),
        "truncated_audio",
    ),
    "m4a, chunks behind its end": (mp4_patched(b"stco", 8, ">I", 0x7FFFFFFF), "truncated_audio"),
    "m4a, a box of 4 GiB": (mp4_patched(b"moov", -8, ">I", 0xFFFFFFFF), HALF),
    "m4a, a box smaller than its head": (mp4_patched(b"moov", -8, ">I", 4), "truncated_audio"),
    "matroska, a length that is no number": (matroska_lasting(b"0:0:nan"), HALF),
    "matroska, an endless length": (matroska_lasting(b"0:0:inf"), HALF),
    "matroska, a length of ages": (matroska_lasting(b"9999999:0:0"), "too_long"),
    "matroska, a negative length": (matroska_lasting(b"-9:0:0"), HALF),
    "matroska, 20 MiB attached": (matroska_with("a", bytes(20 * MIB)), HALF),
    "video with sound": (matroska_with("va"), HALF),
    "video with sound of three kinds": (matroska_with("avaa"), HALF),
    "video alone": (matroska_with("v"), "no_audio_stream"),
    "ogg, nothing but its heads": (lambda directory: _ogg_heads(directory), "not_audio"),
    "aac, garbage between frames": (lambda directory: _aac_with_garbage(directory), HALF),
    "a zip of a song": (lambda directory: _zipped(directory), "not_audio"),
}


def _flac_head(directory: Path) -> bytes:
    return (
        audio.write(directory / "whole.flac", NOISE, "PCM_16")
        .read_bytes()[:42]
        .replace(b"fLaC\x00", b"fLaC\x80", 1)
    )


def _ogg_heads(directory: Path) -> bytes:
    pages = encoded("whole.opus", "libopus", rate=48000, container="ogg")(directory).split(b"OggS")
    return b"OggS".join(pages[:3])


def _aac_with_garbage(directory: Path) -> bytes:
    data = encoded("whole.aac", "aac", container="adts")(directory)
    third = len(data) // 3
    return data[:third] + bytes(5000) + data[third:]


def _zipped(directory: Path) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("song.wav", wav())
    return packed.getvalue()


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_a_file_that_lies_is_refused_or_bounded(tmp_path, content, expected):
    workshop, job = tmp_path / "workshop", tmp_path / "job"
    workshop.mkdir()
    job.mkdir()
    source, target = job / "song.mp3", tmp_path / "mix.wav"
    source.write_bytes(content(workshop) if callable(content) else content)
    with watched(job) as watch:
        if isinstance(expected, str):
            with pytest.raises(PermanentError) as caught:
                prepare(source, target, LIMITS, lambda: None)
            assert caught.value.code == expected
            assert not target.exists()
            assert str(tmp_path) not in caught.value.message
        else:
            prepared = prepare(source, target, LIMITS, lambda: None)
            # A lossy codec's own delay and last frame, and no more.
            assert expected <= prepared.frames <= expected + 4096
            assert np.isfinite(audio.read(target)).all()
        assert watch.opened() <= {"song.mp3"}
    assert os.listdir(job) == ["song.mp3"]
