"""The pages of a mapped file are released from the process, and can be read again."""

import mmap
import os
from pathlib import Path

import pytest

from processor.separation.runtimes import mapped_file

SIZE = 8 << 20


def resident_kb(path: Path) -> int:
    """Returns how much of the mapping of `path` is in this process's memory."""
    lines = os.fsdecode(Path("/proc/self/smaps").read_bytes()).split("\n")
    begin = next(number for number, line in enumerate(lines) if line.endswith(str(path)))
    return next(int(line.split()[1]) for line in lines[begin:] if line.startswith("Rss:"))


@pytest.mark.parametrize("name", ["weights.bin", "caf\udce9 \u2028\f weights.bin"])
def test_pages_that_were_read_go_while_the_context_lasts(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        with mapped_file.released(path):
            assert sum(mapped[::4096]) == 0
            while resident_kb(path) > 100:
                pass
        assert mapped[255::4096][-1] == 255
        assert resident_kb(path) > 1000
        mapped_file.release(path)
        assert resident_kb(path) < 100


def test_a_file_that_is_not_mapped_is_left_alone(tmp_path):
    with mapped_file.released(tmp_path / "none.bin"):
        pass
