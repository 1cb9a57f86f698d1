"""The stage in a directory holds complete files only, and touches no other files.

tests/integration/test_stages.py has what holds for any stage.
"""

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

import pytest

from common.observability.health import Check
from common.storage import beneath
from common.storage.beneath import ForeignEntry
from common.storage.stage import LocalStage
from tests.support.paths import REPOSITORY

TASK = uuid4()
PLACE = "tasks-3-7"
DAY_S = 24 * 3600.0
# A directory's mode does not bind root, so the process gives up root's access rights first.
CHECK_WITHOUT_CAPABILITIES = """
import ctypes, sys
from pathlib import Path
from common.storage.stage import LocalStage
version_3 = 0x20080522
assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)()) == 0
print(LocalStage(Path(sys.argv[1])).check())
"""


@pytest.fixture
def stage(tmp_path):
    return LocalStage(tmp_path / "stage")


@pytest.fixture
def make(tmp_path):
    def file(name="vocals.wav", data=b"RIFF"):
        directory = tmp_path / "work" / uuid4().hex
        directory.mkdir(parents=True)
        path = directory / name
        path.write_bytes(data)
        return path

    return file


def files(stage):
    return sorted(str(path.relative_to(stage.root)) for path in stage.root.rglob("*"))


def names(stage):
    """Stages files and returns their keys."""
    return [name for name in files(stage) if (stage.root / name).is_file()]


def test_it_is_opened_with_all_above_it_and_nothing_in_it(tmp_path):
    stage = LocalStage(tmp_path / "a" / "b")
    for _ in range(2):
        stage.open()
        assert files(stage) == []
    assert stage.check() == Check(True)


def test_one_that_is_gone_is_not_ready_until_it_is_back(stage):
    stage.open()
    stage.root.rmdir()
    assert stage.check() == Check(False, f"OUTPUT_DIR {stage.root}: No such file or directory")
    stage.root.touch()
    assert stage.check() == Check(False, f"OUTPUT_DIR {stage.root}: Not a directory")
    stage.root.unlink()
    stage.root.mkdir()
    assert stage.check() == Check(True)


@pytest.mark.parametrize(("mode", "ok"), [(0o755, True), (0o555, False), (0o655, False)])
def test_one_that_cannot_be_written_is_not_ready(stage, mode, ok):
    stage.open()
    stage.root.chmod(mode)
    command = [sys.executable, "-c", CHECK_WITHOUT_CAPABILITIES, stage.root]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    expected = Check(True) if ok else Check(False, f"OUTPUT_DIR {stage.root} cannot be written")
    assert done.stdout.strip() == str(expected), done.stderr


def test_a_file_is_moved_in_whole_and_described(stage, make):
    source = make(data=b"some audio")
    staged = stage.put(TASK, PLACE, 1, source)
    assert staged.key == f"{TASK}/{PLACE}.1/vocals.wav"
    assert staged.sha256 == hashlib.sha256(b"some audio").hexdigest()
    assert staged.size_bytes == 10
    assert stage.path(staged.key).read_bytes() == b"some audio"
    assert not source.exists()
    assert files(stage) == [str(TASK), f"{TASK}/{PLACE}.1", f"{TASK}/{PLACE}.1/vocals.wav"]


def test_a_source_that_is_not_there_stages_nothing(stage, tmp_path):
    with pytest.raises(FileNotFoundError):
        stage.put(TASK, PLACE, 1, tmp_path / "nothing.wav")
    assert not [name for name in files(stage) if name.endswith((".wav", ".part"))]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "vocals.wav",
        "a/b",
        "a/b/c/d",
        "/etc/passwd",
        "/etc/a/passwd",
        "../a/b",
        "a/../b",
        "a/b/..",
        "../../../etc/passwd",
    ],
)
def test_a_key_that_leads_elsewhere_is_refused(stage, key):
    with pytest.raises(ValueError, match="not a key"):
        stage.path(key)
    for use in (stage.keep, stage.retire, stage.remove_retired):
        with pytest.raises(ValueError, match="not a key"):
            use(key)


def test_what_is_retired_is_out_of_sight_and_then_goes_with_its_directories(stage, make):
    vocals = stage.put(TASK, PLACE, 1, make("vocals.wav"))
    other = stage.put(TASK, "tasks-3-8", 1, make("vocals.wav"))
    stage.retire(vocals.key)
    assert not stage.path(vocals.key).exists()
    stage.remove_retired(vocals.key)
    assert names(stage) == [other.key]
    stage.retire(other.key)
    stage.remove_retired(other.key)
    assert files(stage) == []
    assert stage.root.is_dir()


def test_what_is_read_as_it_is_retired_and_removed_is_read_to_its_end(stage, make):
    staged = stage.put(TASK, PLACE, 1, make(data=b"x" * 1_000_000))
    with stage.path(staged.key).open("rb") as file:
        stage.retire(staged.key)
        stage.remove_retired(staged.key)
        assert len(file.read()) == 1_000_000


def test_an_attempt_is_removed_with_what_it_left_half_written(stage, make):
    kept = stage.put(TASK, PLACE, 2, make())
    stage.put(TASK, PLACE, 1, make())
    (stage.root / str(TASK) / f"{PLACE}.1" / "instrumental.wav.part").touch()
    stage.remove_attempt(TASK, PLACE, 1)
    assert [name for name in files(stage) if "." in name] == [f"{TASK}/{PLACE}.2", kept.key]


@pytest.mark.slow
def test_workers_that_stage_and_remove_at_once_do_not_disturb_each_other(stage, make):
    """One attempt removes the task's empty directory while another makes its own in it."""
    over = threading.Event()

    def work(number):
        for _ in range(200):
            staged = stage.put(TASK, f"tasks-0-{number}", 1, make())
            assert stage.path(staged.key).exists()
            stage.retire(staged.key)
            stage.remove_retired(staged.key)

    def sweep():
        while not over.is_set():
            # Retired attempts go at once, however new, and nothing else goes.
            stage.sweep(time.time(), 0.0, DAY_S)

    with ThreadPoolExecutor(5) as pool:
        sweeps = [pool.submit(sweep) for _ in range(2)]
        workers = [pool.submit(work, number) for number in range(3)]
        wait(workers)
        over.set()
        for done in workers + sweeps:
            done.result()
    assert files(stage) == []


# The sweep


def test_a_sweep_takes_what_was_retired_a_while_ago(stage, make):
    staged = stage.put(TASK, PLACE, 1, make())
    stage.retire(staged.key)
    assert stage.sweep(time.time(), 300, DAY_S) == 0
    assert stage.sweep(time.time() + 301, 300, DAY_S) == 1
    assert files(stage) == []


def test_a_sweep_takes_attempts_that_nobody_has_touched_for_long(stage, make):
    old = stage.put(TASK, PLACE, 1, make())
    half = stage.root / str(TASK) / f"{PLACE}.2" / "vocals.wav.part"
    half.parent.mkdir()
    half.touch()
    (stage.root / str(TASK) / f"{PLACE}.3").mkdir()
    assert stage.sweep(time.time() + DAY_S - 60, 300, DAY_S) == 0
    assert stage.path(old.key).exists()
    assert half.exists()
    assert stage.sweep(time.time() + DAY_S + 60, 300, DAY_S) == 3
    assert files(stage) == []


@pytest.mark.parametrize("sign", ["a file", "kept"])
def test_a_sweep_spares_an_attempt_with_a_sign_of_life(stage, make, sign):
    staged = stage.put(TASK, PLACE, 1, make())
    attempt_dir = stage.path(staged.key).parent
    long_ago = time.time() - 9 * DAY_S
    for path in (stage.path(staged.key), attempt_dir):
        os.utime(path, (long_ago, long_ago))
    if sign == "kept":
        stage.keep(staged.key)
    else:
        (attempt_dir / "instrumental.wav.part").write_bytes(b"half")
        os.utime(attempt_dir, (long_ago, long_ago))
    assert stage.sweep(time.time(), 300, 8 * DAY_S) == 0
    assert stage.path(staged.key).exists()


def test_a_sweep_leaves_alone_what_is_not_named_as_ours(stage, tmp_path):
    outside = tmp_path / "outside"
    for directory in (
        stage.root / "photos" / "tasks-0-1.1",
        stage.root / str(TASK) / "notes",
        stage.root / str(TASK) / "tasks-0-1.x",
        outside / "tasks-0-1.1",
    ):
        directory.mkdir(parents=True)
        (directory / "keep.txt").touch()
    (stage.root / str(TASK) / "tasks-0-9.1").symlink_to(outside / "tasks-0-1.1")
    (stage.root / str(uuid4())).symlink_to(outside)
    before = files(stage), files(LocalStage(outside))
    assert stage.sweep(time.time() + 99 * DAY_S, 300, DAY_S) == 0
    assert (files(stage), files(LocalStage(outside))) == before


def test_a_sweep_removes_a_tasks_directory_that_has_become_empty(stage):
    (stage.root / str(TASK)).mkdir(parents=True)
    stage.sweep(time.time(), 300, DAY_S)
    assert files(stage) == []


# Links and other entries that are no files


@pytest.fixture
def outside(tmp_path):
    """Makes a directory outside of the stage with the same layout."""
    directory = tmp_path / "outside"
    (directory / f"{PLACE}.1").mkdir(parents=True)
    (directory / f"{PLACE}.1" / "vocals.wav").write_bytes(b"secret")
    (directory / "vocals.wav").write_bytes(b"secret")
    return directory


def plant(stage, outside, at):
    """Puts a link to `outside` at one component of the key of attempt 1."""
    stage.root.mkdir(parents=True, exist_ok=True)
    task = stage.root / str(TASK)
    if at == "task":
        task.symlink_to(outside)
        return
    task.mkdir()
    if at == "attempt":
        (task / f"{PLACE}.1").symlink_to(outside / f"{PLACE}.1")
        return
    (task / f"{PLACE}.1").mkdir()
    (task / f"{PLACE}.1" / "vocals.wav").symlink_to(outside / "vocals.wav")


@pytest.mark.parametrize("at", ["task", "attempt", "file"])
def test_nothing_is_done_through_a_link(stage, outside, at):
    plant(stage, outside, at)
    key, before = f"{TASK}/{PLACE}.1/vocals.wav", snapshot(outside)
    with pytest.raises(ForeignEntry):
        stage.open_file(key)
    stage.keep(key)
    stage.sweep(time.time() + 99 * DAY_S, 300, DAY_S)
    stage.retire(key)
    stage.remove_retired(key)
    stage.remove_attempt(TASK, PLACE, 1)
    stage.remove_earlier_attempts(TASK, PLACE, 2)
    assert snapshot(outside) == before


@pytest.mark.parametrize("at", ["task", "attempt"])
def test_nothing_is_staged_through_a_link(stage, make, outside, at):
    plant(stage, outside, at)
    before = snapshot(outside)
    with pytest.raises(ForeignEntry):
        stage.put(TASK, PLACE, 1, make())
    assert snapshot(outside) == before


@pytest.mark.parametrize("name", ["vocals.wav", "vocals.wav.part"])
@pytest.mark.parametrize("other_disk", [False, True])
def test_a_link_in_a_stems_place_is_replaced_and_what_it_names_stays(
    stage, make, outside, name, other_disk, monkeypatch
):
    plant(stage, outside, "file")
    directory = stage.root / str(TASK) / f"{PLACE}.1"
    (directory / "vocals.wav").rename(directory / name)
    if other_disk:
        monkeypatch.setattr(beneath.os, "rename", refuse_across(beneath.os.rename))
    staged = stage.put(TASK, PLACE, 1, make(data=b"a voice"))
    assert (outside / "vocals.wav").read_bytes() == b"secret"
    with stage.open_file(staged.key) as file:
        assert file.read() == b"a voice"


def refuse_across(rename):
    """Fails as the kernel does when source and target are on two file systems."""

    def renamed(source, target, **directories):
        if "src_dir_fd" not in directories:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target, **directories)

    return renamed


def snapshot(directory):
    """Returns every entry, with contents and times."""
    return {
        str(path): (path.lstat().st_mtime, path.read_bytes() if path.is_file() else None)
        for path in [directory, *directory.rglob("*")]
    }
