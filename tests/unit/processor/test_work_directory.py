"""Each process has a directory of its own, and removes the directories of ended processes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processor.work_directory import claim
from tests.support.paths import REPOSITORY

HOLD = """
import sys
from pathlib import Path
from processor.work_directory import claim
directory = claim(Path(sys.argv[1]), sys.argv[2])
(directory.path / "song.wav").touch()
print(directory.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def another(tmp_path):
    """Starts a process that holds a directory: the process, and the directory."""
    processes = []

    def start(worker_id: str) -> tuple[subprocess.Popen, Path]:
        command = [sys.executable, "-c", HOLD, tmp_path, worker_id]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("their_id", ["w0", "w1"])
def test_a_living_process_keeps_its_directory_whatever_its_id_and_a_killed_one_does_not(
    another, tmp_path, their_id
):
    process, theirs = another(their_id)
    ours = claim(tmp_path, "w0")
    assert ours.path != theirs
    assert (theirs / "song.wav").exists()
    process.kill()
    process.wait()
    last = claim(tmp_path, "w2")
    assert not theirs.exists()
    assert ours.path.is_dir()
    ours.release()
    last.release()


def test_nothing_else_in_the_directory_is_touched(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "uvr-processor-notes.txt").touch()
    elsewhere = tmp_path / "music" / "album"
    elsewhere.mkdir()
    (tmp_path / "uvr-processor-w0-link").symlink_to(elsewhere)
    before = set(tmp_path.iterdir())
    directory = claim(tmp_path, "w0")
    assert set(tmp_path.iterdir()) == before | {directory.path}
    assert elsewhere.is_dir()
    directory.release()


def test_it_is_made_with_all_above_it_and_empty(tmp_path):
    directory = claim(tmp_path / "a" / "b", "w0")
    assert list(directory.path.iterdir()) == []
    directory.release()


def test_many_that_start_and_end_at_once_never_lose_a_directory_in_use(tmp_path):
    def start_and_end(number: int) -> None:
        for _ in range(100):
            directory = claim(tmp_path, f"w{number}")
            song = directory.path / "song.wav"
            song.write_bytes(b"x")
            assert song.read_bytes() == b"x"
            directory.release()

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(start_and_end, number) for number in range(4)]:
            ended.result()
    last = claim(tmp_path, "last")
    assert list(tmp_path.iterdir()) == [last.path]
    last.release()
