"""WAV files of all sorts, AIFF, AU and CAF are decoded to the bit, also with wrong headers."""

import functools
import struct

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from tests.support.made import Made
from tests.support.processor import songs
from tests.support.processor.songs import (
    FLOAT,
    PCM,
    RATE,
    by_libsndfile,
    decoded,
    extensible,
    file,
    fmt,
    int_bytes,
    riff,
)

SONG = songs.music(0.7)
FRAMES = len(SONG)
PCM16 = int_bytes(SONG, 2)
WIDE = songs.music(0.7).astype(np.float64) * 0.999 + 1e-6  # has more than 16 bits
UNKNOWN = 0xFFFFFFFF


def _aiff_by_sox(samples: np.ndarray, subtype: str, frames: int) -> bytes:
    """As SoX writes into a pipe: the header counts `frames`, which fill up to 0x7f000000 bytes."""
    data = bytearray(by_libsndfile(samples, "AIFF", subtype))
    common, sound = data.index(b"COMM") + 8, data.index(b"SSND") + 4
    (bits,) = struct.unpack_from(">H", data, common + 6)
    size = 8 + frames * 2 * bits // 8
    struct.pack_into(">I", data, 4, size + sound - 4)
    struct.pack_into(">I", data, common + 2, frames)
    struct.pack_into(">I", data, sound, size)
    return bytes(data)


# The song by its 16 bits.
SIXTEEN = Made(
    {
        "plain": lambda: riff(fmt(PCM, 16), PCM16),
        "half the byte rate": lambda: riff(fmt(PCM, 16, byte_rate=RATE * 2), PCM16),
        "twice the byte rate": lambda: riff(fmt(PCM, 16, byte_rate=RATE * 8), PCM16),
        "no byte rate": lambda: riff(fmt(PCM, 16, byte_rate=0), PCM16),
        "extensible": lambda: riff(extensible(PCM, 2, 16), PCM16),
        "size 0, as pipes have it": lambda: riff(fmt(PCM, 16), PCM16, 0, 0),
        "size 0 and a head that counts nothing": lambda: riff(fmt(PCM, 16), PCM16, 0, 36),
        "the largest size": lambda: riff(fmt(PCM, 16), PCM16, UNKNOWN, UNKNOWN),
        "the largest signed size": lambda: riff(fmt(PCM, 16), PCM16, 0x7FFFFFFF - 36, 0x7FFFFFFF),
        "0x80000000, less a header": lambda: riff(fmt(PCM, 16), PCM16, 0x7FFFF000 + 4, UNKNOWN),
        "WAV from a pipe, by SoX": lambda: riff(fmt(PCM, 16), PCM16, 0x7FFFF000, 0x7FFFF024),
        "a list behind": lambda: riff(
            fmt(PCM, 16), PCM16, behind=b"LIST" + struct.pack("<I", 400) + bytes(400)
        ),
        "RF64": lambda: songs.rf64(fmt(PCM, 16), PCM16),
        "RF64, a list behind": lambda: (
            songs.rf64(fmt(PCM, 16), PCM16) + b"LIST" + struct.pack("<I", 400) + b"x" * 400
        ),
        "RF64 from a pipe": lambda: songs.rf64(fmt(PCM, 16), PCM16, 0),
        "BW64": lambda: songs.rf64(fmt(PCM, 16), PCM16, name=b"BW64"),
        "W64": lambda: songs.w64(fmt(PCM, 16), PCM16),
        "W64 from a pipe": lambda: songs.w64(fmt(PCM, 16), PCM16, (1 << 63) - 25),
        "a tag before": lambda: songs.id3v2(bytes(70_000)) + riff(fmt(PCM, 16), PCM16),
        "big-endian, RIFX": lambda: by_libsndfile(SONG, "WAV", "PCM_16", endian="BIG"),
        "libsndfile's W64": lambda: by_libsndfile(SONG, "W64", "PCM_16"),
        "libsndfile's RF64": lambda: by_libsndfile(SONG, "RF64", "PCM_16"),
        "AIFF": lambda: by_libsndfile(SONG, "AIFF", "PCM_16"),
        "AIFF-C, little-endian": lambda: by_libsndfile(SONG, "AIFF", "PCM_16", endian="LITTLE"),
        "AIFF from a pipe": lambda: songs.piped("pcm_s16be", "aiff", SONG),
        "AIFF from a pipe, by SoX": lambda: _aiff_by_sox(SONG, "PCM_16", 0x7F000000 // 4),
        "AU": lambda: by_libsndfile(SONG, "AU", "PCM_16"),
        "AU from a pipe": lambda: songs.piped("pcm_s16be", "au", SONG),
        "CAF": lambda: by_libsndfile(SONG, "CAF", "PCM_16"),
        "CAF from a pipe": lambda: songs.piped("pcm_s16be", "caf", SONG),
        "AVI": lambda: songs.encoded("pcm_s16le", "avi", SONG),
    }
)


@pytest.mark.parametrize("name", SIXTEEN)
def test_sixteen_bits_are_right_to_the_bit(tmp_path, name):
    found, samples = decoded(file(tmp_path / "song", SIXTEEN[name]))
    assert (found.frames, found.source_rate) == (FRAMES, RATE)
    assert np.array_equal(samples, SONG)


def _with_padding_of(width: int, valid: int) -> bytes:
    """Samples whose lower bits are no part of the value."""
    whole = np.rint(WIDE * 2 ** (valid - 1)).astype(np.int64) << (8 * width - valid)
    return np.ascontiguousarray(whole.astype("<i8")[..., None].view(np.uint8)[..., :width]).tobytes()


def _caf_24_in_32() -> bytes:
    """libsndfile's CAF of 32 bits, said to have 24 valid ones."""
    data = bytearray(by_libsndfile(WIDE, "CAF", "PCM_32", endian="LITTLE"))
    struct.pack_into(">I", data, data.index(b"desc") + 12 + 28, 24)
    return bytes(data)


def _avi_24_in_32() -> bytes:
    data = bytearray(songs.encoded("pcm_s32le", "avi", WIDE.astype(np.float32)))
    at = data.index(b"strf") + 8
    tag, bits, valid = (struct.unpack_from("<H", data, at + place)[0] for place in (0, 14, 18))
    assert (tag, bits, valid) == (songs.EXTENSIBLE, 32, 32)
    struct.pack_into("<H", data, at + 18, 24)
    return bytes(data)


def _kind(form: str, subtype: str, most: float) -> tuple[bytes, float]:
    if form == "RIFX":
        return by_libsndfile(WIDE, "WAV", subtype, endian="BIG"), most
    return by_libsndfile(WIDE, form, subtype), most


# Other kinds of samples, and by how much they may differ from the song.
KINDS = Made(
    {
        "24 bits in 32": lambda: (riff(extensible(PCM, 4, 24), _with_padding_of(4, 24)), 2**-24),
        "24 bits in 32, W64": lambda: (songs.w64(extensible(PCM, 4, 24), _with_padding_of(4, 24)), 2**-24),
        "24 bits in 32, RF64": lambda: (songs.rf64(extensible(PCM, 4, 24), _with_padding_of(4, 24)), 2**-24),
        "24 bits in 32, CAF": lambda: (_caf_24_in_32(), 2**-24),
        "24 bits in 32, AVI": lambda: (_avi_24_in_32(), 2**-24),
        "20 bits in 24": lambda: (riff(extensible(PCM, 3, 20), _with_padding_of(3, 20)), 2**-20),
        "20 bits in 24, plain": lambda: (riff(fmt(PCM, 20), _with_padding_of(3, 20)), 2**-20),
        "20 bits in 32": lambda: (riff(extensible(PCM, 4, 20), _with_padding_of(4, 20)), 2**-20),
        "12 bits in 16": lambda: (riff(extensible(PCM, 2, 12), _with_padding_of(2, 12)), 2**-12),
        "24 bits": lambda: (riff(fmt(PCM, 24), _with_padding_of(3, 24)), 2**-24),
        "24 bits from a pipe, by SoX": lambda: (
            riff(fmt(PCM, 24), _with_padding_of(3, 24), 0x7FFFEFFC, 0x7FFFF040),
            2**-24,
        ),
        "24 bits, AIFF from a pipe, by SoX": lambda: (_aiff_by_sox(WIDE, "PCM_24", 0x7F000000 // 6), 2**-23),
        "32 bits": lambda: (riff(fmt(PCM, 32), _with_padding_of(4, 32)), 2**-24),
        "float32": lambda: (riff(fmt(FLOAT, 32), WIDE.astype("<f4").tobytes()), 2**-24),
        "float32, extensible": lambda: (riff(extensible(FLOAT, 4, 32), WIDE.astype("<f4").tobytes()), 2**-24),
        "float64": lambda: (riff(fmt(FLOAT, 64), WIDE.astype("<f8").tobytes()), 2**-24),
        "float64, extensible, piped": lambda: (
            riff(extensible(FLOAT, 8, 64), WIDE.astype("<f8").tobytes(), UNKNOWN),
            2**-24,
        ),
        **{
            f"{form}, {subtype}": functools.partial(_kind, form, subtype, most)
            for form, subtype, most in (
                ("WAV", "PCM_U8", 2**-7),
                ("RIFX", "PCM_24", 2**-23),
                ("RIFX", "PCM_32", 2**-24),
                ("RIFX", "FLOAT", 2**-24),
                ("RIFX", "DOUBLE", 2**-24),
                ("RIFX", "PCM_U8", 2**-7),
                ("RIFX", "ULAW", 0.02),
                ("WAV", "ULAW", 0.02),
                ("WAV", "ALAW", 0.02),
                ("AIFF", "PCM_S8", 2**-7),
                ("AIFF", "PCM_24", 2**-23),
                ("AIFF", "PCM_32", 2**-24),
                ("AIFF", "FLOAT", 2**-24),
                ("AIFF", "DOUBLE", 2**-24),
                ("AIFF", "ULAW", 0.02),
                ("AIFF", "ALAW", 0.02),
                ("CAF", "PCM_24", 2**-23),
                ("CAF", "DOUBLE", 2**-24),
                ("CAF", "ALAC_24", 2**-23),
                ("AU", "PCM_24", 2**-23),
                ("AU", "ULAW", 0.02),
            )
        },
    }
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sample_is_read_as_what_it_is(tmp_path, kind):
    content, most = KINDS[kind]
    found, samples = decoded(file(tmp_path / "song", content))
    assert found.frames == FRAMES
    assert np.abs(samples - WIDE).max() <= most


_SIXTEEN_CUT_OFF = (
    *("plain", "half the byte rate", "twice the byte rate", "extensible", "RF64", "BW64", "W64"),
    *("big-endian, RIFX", "AIFF", "AIFF-C, little-endian", "AU", "CAF", "AVI"),
)
CUT_OFF = Made(
    {
        **{name: functools.partial(SIXTEEN.__getitem__, name) for name in _SIXTEEN_CUT_OFF},
        "24 bits in 32": lambda: KINDS["24 bits in 32"][0],
        "µ-law": lambda: KINDS["WAV, ULAW"][0],
        "ADPCM": lambda: by_libsndfile(SONG, "WAV", "MS_ADPCM"),
        "ALAC in CAF": lambda: KINDS["CAF, ALAC_24"][0],
        "WavPack": lambda: songs.encoded("wavpack", "wv", SONG),
        "TTA": lambda: songs.encoded("tta", "tta", songs.music(3.5)),
        "Matroska": lambda: songs.encoded("flac", "matroska", SONG),
        "fragments": lambda: songs.encoded("aac", "mp4", SONG, movflags="frag_keyframe+empty_moov"),
    }
)


@pytest.mark.parametrize("name", CUT_OFF)
def test_what_is_cut_off_is_truncated(tmp_path, name):
    content = CUT_OFF[name]
    decoded(file(tmp_path / "whole", content))
    with pytest.raises(PermanentError) as caught:
        decoded(file(tmp_path / "cut", content[: len(content) * 7 // 10]))
    assert caught.value.code == ErrorCode.TRUNCATED_AUDIO


def test_an_empty_song_with_a_list_behind_is_empty(tmp_path):
    content = riff(fmt(PCM, 16), b"", behind=b"LIST" + struct.pack("<I", 400) + bytes(400))
    with pytest.raises(PermanentError) as caught:
        decoded(file(tmp_path / "song", content))
    assert caught.value.code == ErrorCode.EMPTY_FILE


@pytest.mark.parametrize("scale", [32768, 1e9, 1e30])
@pytest.mark.parametrize("rate", [RATE, 48000])
def test_a_peak_that_no_music_has_fails_with_a_reason(tmp_path, scale, rate):
    samples = (SONG * scale).astype("<f4").tobytes()
    with pytest.raises(PermanentError, match="times full scale") as caught:
        decoded(file(tmp_path / "song", riff(fmt(FLOAT, 32, rate), samples)))
    assert caught.value.code == ErrorCode.NOT_AUDIO


def test_a_song_far_above_full_scale_is_a_song(tmp_path):
    samples = (SONG * 60).astype("<f4")
    found, read = decoded(file(tmp_path / "song", riff(fmt(FLOAT, 32), samples.tobytes())))
    assert found.peak > 30
    assert np.array_equal(read, samples)


def test_numbers_that_are_none_become_zero_in_their_channel_alone(tmp_path):
    holed = SONG.copy()
    holed[100, 0], holed[200, 1], holed[300, 0] = np.nan, np.inf, -np.inf
    _, samples = decoded(file(tmp_path / "song", riff(fmt(FLOAT, 32), holed.tobytes())))
    assert np.array_equal(samples, np.where(np.isfinite(holed), holed, 0))


def test_numbers_that_are_none_spread_to_no_other_by_resampling(tmp_path):
    holed = songs.music(0.7, 48000)
    whole = file(tmp_path / "whole", riff(fmt(FLOAT, 32, 48000), holed.tobytes()))
    holed[10_000] = np.nan
    _, samples = decoded(file(tmp_path / "song", riff(fmt(FLOAT, 32, 48000), holed.tobytes())))
    assert np.isfinite(samples).all()
    assert np.abs(samples - decoded(whole)[1])[12_000:].max() < 1e-6


def test_a_song_of_numbers_that_are_none_fails_with_a_reason(tmp_path):
    with pytest.raises(PermanentError, match="NaN") as caught:
        decoded(file(tmp_path / "song", riff(fmt(FLOAT, 32), np.full_like(SONG, np.nan).tobytes())))
    assert caught.value.code == ErrorCode.NOT_AUDIO
