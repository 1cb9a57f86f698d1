"""Songs of 2 GiB and more, in sparse files: their sizes are believed, and what is missing is noticed."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio import decode
from processor.audio.containers import wav_header
from processor.audio.containers.byte_view import ByteView, Range
from processor.audio.window import Window
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.songs import PCM, by_libsndfile, file, fmt

RATE = 192_000
FRAME_BYTES = 6
SOUND_BYTES = (1 << 31) + 12_000 * FRAME_BYTES
SECONDS = SOUND_BYTES / FRAME_BYTES / RATE
NOISE = np.random.default_rng(1).bytes(1 << 20)


def large_wav(
    path: Path, sound_bytes: int = SOUND_BYTES, behind: bytes = b"", size: int = SOUND_BYTES
) -> Path:
    """A silent WAV file, whose header says `size`."""
    head = songs.riff(fmt(PCM, 24, RATE), b"", size, 36 + size + len(behind) & 0xFFFFFFFF)
    with path.open("wb") as out:
        out.write(head)
        out.truncate(len(head) + sound_bytes)
        out.seek(0, 2)
        out.write(behind)
    return path


def end(path: Path, start_s: float) -> np.ndarray:
    """Decode the song from `start_s` on; the beginning is left out, for the sake of time."""
    own = path.with_name("own.wav")
    decode.decode(path, path.with_name("mix.wav"), 10_000, 8, Window(start_s), own)
    return audio.read(own)


def test_what_is_behind_2_gib_of_samples_is_no_sound(tmp_path):
    chunk = b"id3 " + struct.pack("<I", len(NOISE)) + NOISE
    samples = end(large_wav(tmp_path / "song.wav", behind=chunk), SECONDS - 1)
    assert len(samples) == RATE
    assert not samples.any()


def test_a_wav_of_2_gib_that_is_cut_off_is_truncated(tmp_path):
    path = large_wav(tmp_path / "song.wav", SOUND_BYTES - RATE * FRAME_BYTES)
    with pytest.raises(PermanentError) as caught:
        end(path, SECONDS - 2)
    assert caught.value.code == ErrorCode.TRUNCATED_AUDIO


@pytest.mark.parametrize(
    "size",
    [0x7FFFEFC1, 0x7FFFEFFC, 0x7FFFF000, 0x7FFFF024, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF],
)
def test_a_wav_from_a_pipe_is_as_long_as_its_file(tmp_path, size):
    for sound_bytes in (RATE * FRAME_BYTES, SOUND_BYTES):
        path = large_wav(tmp_path / "song.wav", sound_bytes, size=size)
        with path.open("rb") as song:
            wav = wav_header.read(ByteView(song, [Range(0, path.stat().st_size)]))
        assert (wav.declared, wav.present) == (None, sound_bytes)


def patched(content: bytes, order: str, *places: int, size: int = 3 << 30) -> bytes:
    """The file with other sizes in its header, each of 4 bytes."""
    data = bytearray(content)
    for place in places:
        struct.pack_into(order + "I", data, place, size)
    return bytes(data)


def large_aiff() -> bytes:
    content = by_libsndfile(songs.music(0.5, RATE), "AIFF", "PCM_24", RATE)
    frames = patched(content, ">", content.index(b"COMM") + 10, size=(3 << 30) // FRAME_BYTES)
    return patched(frames, ">", content.index(b"SSND") + 4)


CUT_OFF: dict[str, Callable[[], bytes]] = {
    "AVI": lambda: patched(songs.encoded("pcm_s16le", "avi", songs.music(0.5)), "<", 4),
    "AIFF": large_aiff,
}


@pytest.mark.parametrize("name", CUT_OFF)
def test_the_beginning_of_a_song_of_3_gib_is_truncated(tmp_path, name):
    with pytest.raises(PermanentError) as caught:
        end(file(tmp_path / "song", CUT_OFF[name]()), 0.1)
    assert caught.value.code == ErrorCode.TRUNCATED_AUDIO
