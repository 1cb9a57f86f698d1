"""Parts of a song that a program copied without encoding them again are whole; damaged songs are not."""

import functools
import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio import decode
from processor.audio.audio_stream import Packets
from processor.audio.containers import flac_frame
from processor.audio.window import Window
from tests.support.processor import songs
from tests.support.processor.songs import by_libsndfile, decoded, file

SONG = songs.music(3.0)
FRAME = 4096  # libsndfile's frames of FLAC


@functools.cache
def flac() -> bytes:
    return by_libsndfile(SONG, "FLAC", "PCM_16")


@functools.cache
def begins() -> list[int]:
    """Where the frames begin, and the file's end."""
    with av.open(io.BytesIO(flac())) as container:
        packets = [packet for packet in container.demux() if packet.size]
    sizes = [packet.size for packet in packets]
    first = len(flac()) - sum(sizes)
    return [first, *(first + int(end) for end in np.cumsum(sizes))]


def part(first: int, last: int) -> bytes:
    """The frames from `first` to before `last` behind the song's header, as FFmpeg copies a part."""
    return flac()[: begins()[0]] + flac()[begins()[first] : begins()[last]]


def refused(path: Path) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        decoded(path)
    return caught.value.code


@pytest.mark.parametrize(("first", "last"), [(0, 20), (7, -1), (7, 21), (0, 1)])
def test_a_part_of_a_flac_has_the_samples_of_its_frames(tmp_path, first, last):
    _, samples = decoded(file(tmp_path / "part.flac", part(first, last)))
    end = last * FRAME if last > 0 else len(SONG)
    assert np.array_equal(samples, SONG[first * FRAME : end])


def test_joined_parts_of_flacs_are_whole(tmp_path):
    _, samples = decoded(file(tmp_path / "parts.flac", part(0, 9) + part(4, 12)))
    assert np.array_equal(samples, np.concatenate([SONG[: 9 * FRAME], SONG[4 * FRAME : 12 * FRAME]]))


def torn() -> Iterator[bytes]:
    """The song cut off in a frame: at each place of a header, and at others."""
    for within in (*range(1, 20), 100, 3000, begins()[11] - begins()[10] - 1):
        yield flac()[: begins()[10] + within]


def test_a_flac_that_ends_within_a_frame_is_truncated(tmp_path):
    assert {refused(file(tmp_path / "torn.flac", content)) for content in torn()} == {
        ErrorCode.TRUNCATED_AUDIO
    }


@pytest.mark.parametrize("filling", [b"", bytes(20_000), b"\x55" * 20_000])
@pytest.mark.parametrize("within", [0, 1, 50, 5000])
def test_a_flac_with_a_hole_is_damaged(tmp_path, within, filling):
    place = begins()[10] + within
    for missing in (begins()[13] - begins()[10], 20_000):
        content = flac()[:place] + filling + flac()[place + missing :]
        assert refused(file(tmp_path / "hole.flac", content)) == ErrorCode.TRUNCATED_AUDIO


NOISE = np.random.default_rng(1).bytes(40_000)


@pytest.mark.parametrize("filling", [b"", bytes(40_000), b"\x55" * 40_000, NOISE])
@pytest.mark.parametrize("missing", [100, 5000, 40_000])
@pytest.mark.parametrize("within", [0, 1, 4, 50, 3000])
def test_a_flac_whose_beginning_is_damaged_is_truncated(tmp_path, within, missing, filling):
    place = begins()[0] + within
    content = flac()[:place] + filling[:missing] + flac()[place + missing :]
    assert refused(file(tmp_path / "begin.flac", content)) == ErrorCode.TRUNCATED_AUDIO


def test_the_end_of_a_flac_whose_beginning_is_damaged_is_truncated(tmp_path):
    song = by_libsndfile(songs.music(14.0), "FLAC", "PCM_16")
    place = begins()[0] + 100
    path = file(tmp_path / "song.flac", song[:place] + song[place + 40_000 :])
    with pytest.raises(PermanentError) as caught:
        decode.decode(path, tmp_path / "mix.wav", 60, 8, Window(13.0))
    assert caught.value.code == ErrorCode.TRUNCATED_AUDIO


TAGS: dict[str, tuple[bytes, bytes]] = {
    "ID3v2 before": (songs.id3v2(bytes(5000)), b""),
    "ID3v1 behind": (b"", b"TAG" + bytes(125)),
    "APE behind": (b"", songs.ape(bytes(200))),
    "all of them": (songs.id3v2(bytes(5000)), songs.ape(bytes(200)) + b"TAG" + bytes(125)),
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_change_nothing_of_a_flacs_wholeness(tmp_path, name):
    before, behind = TAGS[name]
    _, samples = decoded(file(tmp_path / "part.flac", before + part(7, 21) + behind))
    assert np.array_equal(samples, SONG[7 * FRAME : 21 * FRAME])
    begun, torn_off = part(0, 20), part(7, 21)[:-9]
    for damaged in (begun[: begins()[0]] + begun[begins()[0] + 50 :], torn_off):
        assert refused(file(tmp_path / "torn.flac", before + damaged + behind)) == ErrorCode.TRUNCATED_AUDIO


@pytest.mark.parametrize("size", [10, 20_000, 20_000_000])
def test_a_flac_whose_rest_is_zeros_is_truncated(tmp_path, size):
    assert refused(file(tmp_path / "zeros.flac", part(0, 20) + bytes(size))) == ErrorCode.TRUNCATED_AUDIO


def test_the_checksum_of_a_packet_that_is_too_large_for_a_frame_is_not_computed(tmp_path):
    path = file(tmp_path / "zeros.flac", part(0, 20) + bytes(20_000_000))
    with av.open(str(path)) as container:
        packets = Packets(container, container.streams.audio[0])
        frames = sum(1 for _ in packets.frames())
    assert frames == 20
    assert (packets.last_bytes, packets.first_bytes) == (b"", flac()[begins()[0] : begins()[1]])


def test_a_frame_is_whole_by_its_checksum():
    frame = flac()[begins()[3] : begins()[4]]
    assert flac_frame.is_whole(frame)
    others = (frame[:-1], frame + b"\xff", frame + bytes(3), frame[:500] + b"!" + frame[501:], frame[1:])
    for other in (b"", bytes(500), bytes(3) + frame, *others):
        assert not flac_frame.is_whole(other)
