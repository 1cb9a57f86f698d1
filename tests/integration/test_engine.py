"""The engine as a job sees it, with a real child process and the fast model."""

import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import Cancelled, ErrorCode, TransientError
from processor.audio import wav
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from tests.support import audio
from tests.support.processor.models import centre_directory

START_TIMEOUT_S = 120
PAGE_BYTES = resource.getpagesize()


def no_check() -> None:
    pass


def no_progress(fraction: float) -> None:
    pass


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(EngineConfig("centre", centre_directory(), device="auto"))
    assert not engine.state().ok
    engine.start()
    state = engine.wait_ready(START_TIMEOUT_S)
    assert state.ok, state.detail
    yield engine
    engine.stop()


@pytest.fixture
def target(tmp_path) -> Path:
    directory = tmp_path / "stems"
    directory.mkdir()
    return directory


def test_it_says_model_and_device_when_ready(engine):
    assert engine.state().ok
    assert engine.state().detail in ("centre on cpu", "centre on cuda")


def test_a_mix_becomes_two_stems_that_add_up(engine, tmp_path, target):
    mix = audio.noise(15, peak=0.7)
    seen: list[float] = []
    result = engine.separate(audio.write(tmp_path / "mix.wav", mix), target, no_check, seen.append)
    assert {name: stem.path for name, stem in result.stems.items()} == {
        "vocals": target / "vocals.wav",
        "instrumental": target / "instrumental.wav",
    }
    assert {(stem.frames, stem.duration_s) for stem in result.stems.values()} == {(len(mix), 15.0)}
    assert (result.gain, result.model) == (1.0, "centre")
    assert result.device in ("cpu", "cuda")
    assert seen == sorted(seen)
    assert seen[-1] == 1
    total = sum(audio.read_int16(stem.path) for stem in result.stems.values())
    assert np.abs(total - mix * 32768.0).max() <= 1


def test_the_next_song_uses_the_memory_of_the_last_one_again(engine, tmp_path):
    """Otherwise the kernel fills each page with zeros anew, which takes a quarter of the time."""
    seconds, channels = 40, 2
    mix = audio.write(tmp_path / "mix.wav", audio.noise(seconds))

    def faults_of_a_song(number: int) -> int:
        target = tmp_path / str(number)
        target.mkdir()
        before = page_faults(engine.pid)
        engine.separate(mix, target, no_check, no_progress)
        return page_faults(engine.pid) - before

    samples_bytes = 4 * channels * seconds * audio.SAMPLE_RATE
    _, found = map(faults_of_a_song, range(2))
    assert found * PAGE_BYTES < 5 * samples_bytes


def page_faults(pid: int | None) -> int:
    """How many pages the kernel has given a process, and its threads, so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_it_tells_how_long_it_worked(engine, tmp_path, target):
    before_s = engine.busy_s
    result = engine.separate(audio.write(tmp_path / "mix.wav", audio.noise(3)), target, no_check, no_progress)
    assert 0 < result.took_s <= engine.busy_s - before_s


def test_jobs_of_several_threads_queue(engine, tmp_path):
    results = {}

    def job(number: int) -> None:
        target = tmp_path / f"stems{number}"
        target.mkdir()
        source = audio.write(tmp_path / f"{number}.wav", audio.noise(number, seed=number))
        results[number] = engine.separate(source, target, no_check, no_progress)

    threads = [threading.Thread(target=job, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: r.stems["vocals"].duration_s for number, r in results.items()} == {1: 1, 2: 2, 3: 3}


def test_a_cancelled_job_stops_and_the_next_one_works(engine, tmp_path, target):
    long = audio.write(tmp_path / "long.wav", audio.noise(120))
    started = threading.Event()

    def check() -> None:
        if started.is_set():
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.separate(long, target, check, lambda fraction: started.set())
    assert not list(target.iterdir())
    short = audio.write(tmp_path / "short.wav", audio.noise(1))
    assert engine.separate(short, target, no_check, no_progress).stems["vocals"].duration_s == 1


def test_a_job_that_waits_for_its_turn_can_be_cancelled(engine, tmp_path, target):
    long = audio.write(tmp_path / "long.wav", audio.noise(60))
    running, waiting_gave_up = threading.Event(), threading.Event()
    outcome = []

    def first() -> None:
        def check() -> None:
            if waiting_gave_up.is_set():
                raise Cancelled

        try:
            engine.separate(long, target, check, lambda fraction: running.set())
        except Cancelled as error:
            outcome.append(error)

    def second_check() -> None:
        raise Cancelled

    thread = threading.Thread(target=first)
    thread.start()
    assert running.wait(START_TIMEOUT_S)
    with pytest.raises(Cancelled):
        engine.separate(long, tmp_path, second_check, no_progress)
    assert thread.is_alive()
    waiting_gave_up.set()
    thread.join()
    assert len(outcome) == 1


def test_a_bad_job_does_not_cost_the_warm_child(engine, tmp_path, target):
    # On a busy machine a child that was slow to obey the cancel of the test before has a successor.
    assert engine.wait_ready(START_TIMEOUT_S).ok
    before = engine.pid
    with pytest.raises(TransientError) as caught:
        engine.separate(tmp_path / "missing.wav", target, no_check, no_progress)
    assert caught.value.code == ErrorCode.INTERNAL_ERROR
    assert "missing.wav" in caught.value.message
    assert engine.state().ok
    assert engine.pid == before


def test_a_disk_without_room_is_told_before_any_work(engine, tmp_path, target):
    source = tmp_path / "huge.wav"
    frames = 2**37 // wav.frame_bytes("float32") * 10
    with source.open("wb") as file:  # sparse: takes no room itself
        file.write(wav.header("float32", frames))
        file.truncate(file.tell() + frames * wav.frame_bytes("float32"))
    with pytest.raises(TransientError) as caught:
        engine.separate(source, target, no_check, no_progress)
    assert caught.value.code == ErrorCode.DISK_FULL
    assert not list(target.iterdir())


@pytest.mark.parametrize("frames", [1, 2])
def test_one_sample_gives_stems(engine, tmp_path, target, frames):
    source = audio.write(tmp_path / "mix.wav", np.full((frames, 2), 0.5, np.float32))
    result = engine.separate(source, target, no_check, no_progress)
    assert all(len(audio.read(stem.path)) == frames for stem in result.stems.values())
