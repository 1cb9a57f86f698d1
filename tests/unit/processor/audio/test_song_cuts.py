"""Parts of a song that a program copied without encoding them again are whole; damaged songs are not."""

import functools
import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.containers import flac_frame
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


def test_a_frame_is_whole_by_its_checksum():
    frame = flac()[begins()[3] : begins()[4]]
    assert flac_frame.is_whole(frame)
    for other in (b"", frame[:-1], frame + b"\xff", frame[:500] + b"!" + frame[501:], frame[1:]):
        assert not flac_frame.is_whole(other)
