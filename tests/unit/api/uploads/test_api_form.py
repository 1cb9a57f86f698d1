"""A form's song is the same by whichever of the two ways its bytes are read, wherever they are cut."""

import asyncio
import contextlib
import random
from collections.abc import Iterator

import pytest

from api.problems import ProblemError
from api.uploads.form import read_form
from api.uploads.song_writer import SongWriter
from tests.support.api.memory_uploads import memory_gate
from tests.support.memory_s3 import MemoryS3

PART_BYTES = 100
LIMIT_BYTES = 5000
BOUNDARY = b"----boundary"
END = b"\r\n--" + BOUNDARY
HEAD = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
FIELD = END + b'\r\nContent-Disposition: form-data; name="preset"\r\n\r\nfast'
LAST = END + b"--\r\n"


class CutBody:
    """Comes in pieces and straight, as much each time as `sizes` says; at last all that is left."""

    def __init__(self, body: bytes, sizes: list[int]):
        self._body, self._sizes = body, sizes
        self.straight_bytes = 0

    async def pieces(self):
        while self._body:
            yield self._next(len(self._body))

    async def read_into(self, room: memoryview) -> int:
        piece = self._next(len(room))
        room[: len(piece)] = piece
        self.straight_bytes += len(piece)
        return len(piece)

    def _next(self, most: int) -> bytes:
        size = min(most, self._sizes.pop(0) if self._sizes else most)
        piece, self._body = self._body[:size], self._body[size:]
        return piece


class Receiver:
    """Stores the songs of forms in memory."""

    def __init__(self) -> None:
        self._s3 = MemoryS3()
        self._gate = memory_gate(self._s3, max_audio_bytes=LIMIT_BYTES)

    def receive(self, body: CutBody) -> tuple[bytes, dict]:
        """Returns the song in the bucket and the form's fields. Of a form that is refused nothing stays."""
        try:
            return asyncio.run(self._receive(body))
        finally:
            assert self._s3.parts == {}
            assert self._s3.keys == []

    async def _receive(self, body: CutBody) -> tuple[bytes, dict]:
        song = SongWriter(self._gate, "alice", part_bytes=PART_BYTES)
        try:
            form = await read_form(body, BOUNDARY, song, 1000, LIMIT_BYTES)
            await song.finish(form.file_name, None)
            (key,) = [key for key in self._s3.keys if str(song.upload_id) in key and key.endswith("audio")]
            return self._s3.get_object(Bucket="in-memory", Key=key)["Body"].read(), dict(form.fields)
        finally:
            await song.discard()

    def close(self) -> None:
        self._gate.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with contextlib.closing(Receiver()) as receiver:
        yield receiver


def songs() -> list[bytes]:
    """Songs whose bytes look like boundaries, at the end of a part and elsewhere."""
    likes = [b"\r", b"\r\n", b"\r\r\n--", END[:-1], END[:-1] + b"x", END[1:], b"\r\r\n--x", END[:7] * 3]
    return [b"x", b"x" * PART_BYTES, bytes(range(256)) * 3] + [
        b"x" * before + like + b"z" * after
        for like in likes
        for before in (1, PART_BYTES - len(like), PART_BYTES - 1, 2 * PART_BYTES - len(like) // 2)
        for after in (0, 1, 150)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_song_and_the_fields_after_it_are_read_whole(receiver, seed):
    draw = random.Random(seed)
    straight_bytes = 0
    for song in songs():
        body = CutBody(HEAD + song + FIELD + LAST, [draw.choice([1, 5, 40, 90]) for _ in range(200)])
        assert receiver.receive(body) == (song, {"preset": ["fast"]})
        straight_bytes += body.straight_bytes
    assert straight_bytes > sum(map(len, songs())) / 4


def test_the_end_is_found_wherever_it_is_cut(receiver):
    song = b"s" * (PART_BYTES - 20)
    whole = HEAD + song + LAST
    for cut in range(len(HEAD), len(whole)):
        assert receiver.receive(CutBody(whole, [len(HEAD), cut - len(HEAD)])) == (song, {})


def test_a_form_whose_end_is_missing_is_refused(receiver):
    with pytest.raises(ProblemError, match="no end"):
        receiver.receive(CutBody(HEAD + b"s" * 250, [len(HEAD)]))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (END + b'\r\nContent-Disposition: form-data; name="audio"; filename="b.wav"\r\n\r\nb', "two songs"),
        (END + b"\r\nContent-Disposition: form-data\r\n\r\nb", "without a name"),
    ],
)
def test_what_follows_a_song_that_was_read_straight_is_checked(receiver, after, said):
    with pytest.raises(ProblemError) as caught:
        receiver.receive(CutBody(HEAD + b"s" * 250 + after + LAST, [len(HEAD)]))
    assert said in caught.value.detail


@pytest.mark.parametrize("sizes", [[], [len(HEAD)], [len(HEAD), 30]])
def test_a_song_may_be_as_large_as_the_limit_and_no_larger(receiver, sizes):
    song = b"s" * LIMIT_BYTES
    assert receiver.receive(CutBody(HEAD + song + LAST, list(sizes))) == (song, {})
    with pytest.raises(ProblemError) as caught:
        receiver.receive(CutBody(HEAD + song + b"s" + LAST, list(sizes)))
    assert caught.value.status == 413


def test_a_song_full_of_boundaries_that_are_none_leaves_others_their_turns():
    size = 1024 * 1024
    song = (END + b"x") * (size // len(END + b"x"))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> None:
        others = asyncio.create_task(count_turns())
        await read_form(CutBody(HEAD + song + LAST, [len(HEAD)]), BOUNDARY, Memory(size), 1000, 2 * size)
        others.cancel()

    asyncio.run(run())
    assert turns >= size / (64 * 1024)


class Memory:
    """Takes a song without sending it."""

    def __init__(self, size: int):
        self._room = bytearray(size)

    def feed(self, piece: memoryview) -> None: ...

    def room(self) -> memoryview:
        return memoryview(self._room)

    def take(self, count: int, end: bytes) -> bytes:
        return bytes(self._room[self._room.find(end, 0, count) :])

    async def drain(self) -> None: ...
