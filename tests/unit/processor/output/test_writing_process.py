"""The process that writes stems: its progress, its errors, and its end when the job is stopped."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from common.errors import Cancelled, ErrorCode, TransientError
from processor.audio.prepare import PreparedSource
from processor.output.finish import FloatStems, finish
from processor.output.resolved import resolve
from tests.support import audio
from tests.support.processor.finishing import INSTRUMENTAL

pytestmark = pytest.mark.usefixtures("no_forks")

WAV = resolve(None, "wav")
# Takes long enough to be stopped on the way.
MP3 = resolve(None, "mp3")
SECONDS = 40


@pytest.fixture(scope="module")
def long_song(tmp_path_factory) -> tuple[FloatStems, PreparedSource]:
    directory = tmp_path_factory.mktemp("long")
    silence = np.zeros((SECONDS * audio.SAMPLE_RATE, 2), np.float32)
    path = audio.write(directory / "silence.wav", silence)
    return FloatStems({"vocals": path}, INSTRUMENTAL), PreparedSource(path, 44100, len(silence))


def children() -> set[int]:
    """The processes that this thread has started and that still run."""
    text = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return {int(pid) for pid in text.split()}


def test_progress_rises_to_one(tmp_path, long_song):
    seen: list[float] = []
    done = finish(*long_song, WAV, ("vocals",), tmp_path, lambda: None, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["peaks.json", "vocals.wav"]
    assert done.stems["vocals"].duration_s == SECONDS


def test_a_cancelled_job_ends_the_process_and_leaves_nothing(tmp_path, long_song):
    before, during = children(), set()

    def check() -> None:
        if list(tmp_path.glob("*.part")):
            during.update(children() - before)
            raise Cancelled

    with pytest.raises(Cancelled):
        finish(*long_song, MP3, None, tmp_path, check, lambda fraction: None)
    assert list(tmp_path.iterdir()) == []
    assert during
    assert not during & children()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, ErrorCode.OUT_OF_MEMORY), (signal.SIGSEGV, ErrorCode.INTERNAL_ERROR)],
)
def test_a_process_that_dies_is_named(tmp_path, long_song, number, code):
    before = children()

    def check() -> None:
        for pid in children() - before:
            if list(tmp_path.glob("*.part")):
                os.kill(pid, number)

    with pytest.raises(TransientError, match=number.name) as caught:
        finish(*long_song, MP3, None, tmp_path, check, lambda fraction: None)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_hangs_is_ended(tmp_path, long_song):
    before, now_s = children(), 0.0

    def check() -> None:
        nonlocal now_s
        for pid in children() - before:
            os.kill(pid, signal.SIGSTOP)
            now_s += 1000

    with pytest.raises(TransientError, match="hung") as caught:
        finish(*long_song, MP3, None, tmp_path, check, lambda fraction: None, clock=lambda: now_s)
    assert caught.value.code == ErrorCode.INTERNAL_ERROR
    assert not children() - before


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_a_full_disk_is_transient_and_leaves_nothing(tmp_path, long_song, format):
    (tmp_path / "vocals.part").symlink_to("/dev/full")
    output = resolve(None, format)
    with pytest.raises(TransientError) as caught:
        finish(*long_song, output, None, tmp_path, lambda: None, lambda fraction: None)
    assert caught.value.code == ErrorCode.DISK_FULL
    assert list(tmp_path.iterdir()) == []
