"""Archives are ordinary zip files, whatever their files are called and however large they are."""

import io
import zipfile
import zlib

import pytest

from api.archive.zip_stream import Entry, blocks_of


def read(entries: list[Entry], modified_s: float = 1_750_000_000.0) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(blocks_of(entries, modified_s))))


def test_the_files_are_stored_as_they_are_with_names_for_people():
    entries = [Entry("Björk – Jóga (vocals).wav", 6, [b"abc", b"def"]), Entry("b.flac", 0, [])]
    with read(entries) as archive:
        assert archive.testzip() is None
        first, second = archive.infolist()
        assert (first.filename, first.compress_type) == ("Björk – Jóga (vocals).wav", zipfile.ZIP_STORED)
        assert (archive.read(first), archive.read(second)) == (b"abcdef", b"")
        assert first.date_time == (2025, 6, 15, 15, 6, 40)
        assert first.external_attr >> 16 == 0o100644


@pytest.mark.slow
def test_files_beyond_4_gib_are_written_in_constant_memory_and_read_again():
    block, count = bytes(16 << 20), 257
    entry = Entry("long.wav", len(block) * count, (block for _ in range(count)))
    tail, largest, total = b"", 0, 0
    for part in blocks_of([entry, Entry("b.wav", 1, [b"b"])], 0.0):
        largest, total = max(largest, len(part)), total + len(part)
        tail = (tail + part)[-4096:]
    assert largest < 2 * len(block)

    class Far(io.RawIOBase):
        """The archive as far as it is looked at: its end."""

        at = 0

        def seekable(self):
            return True

        def seek(self, offset, whence=0):
            self.at = offset if whence == 0 else total + offset
            return self.at

        def tell(self):
            return self.at

        def read(self, size=-1):
            start = self.at - (total - len(tail))
            found = tail[start:] if size < 0 else tail[start : start + size]
            self.at += len(found)
            return found

    long, short = zipfile.ZipFile(Far()).infolist()
    assert (long.file_size, short.file_size) == (len(block) * count, 1)
    assert _crc(block, count) == long.CRC


def _crc(block: bytes, count: int) -> int:
    found = 0
    for _ in range(count):
        found = zlib.crc32(block, found)
    return found


def test_what_a_file_raises_is_raised_and_no_end_is_written():
    def broken():
        yield b"abc"
        raise OSError("away")

    blocks, got = blocks_of([Entry("a.wav", 6, broken())], 0.0), b""
    got += next(blocks)
    with pytest.raises(OSError, match="away"):
        got += next(blocks)
    got += b"".join(blocks)
    assert b"PK\x05\x06" not in got
