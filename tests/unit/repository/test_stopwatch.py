import threading
import time

import numpy as np
import pytest
import torch

from bench.stopwatch import NETWORK, OVERLAP_ADD, STFT, Stopwatch, chunks


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now_s = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)


def test_a_stage_within_another_counts_for_itself_only(monkeypatch):
    clock, stopwatch = Clock(monkeypatch), Stopwatch(is_cuda=False)
    with stopwatch.timing(OVERLAP_ADD):
        clock.now_s += 1
        with stopwatch.timing(NETWORK):
            clock.now_s += 2
            with stopwatch.timing(STFT):
                clock.now_s += 4
            clock.now_s += 8
        clock.now_s += 16
    assert stopwatch.stages == {OVERLAP_ADD: 17, NETWORK: 10, STFT: 4}
    assert (stopwatch.runs, stopwatch.run_s) == (1, 10)


def test_time_between_stages_counts_for_none(monkeypatch):
    clock, stopwatch = Clock(monkeypatch), Stopwatch(is_cuda=False)
    for _ in range(2):
        with stopwatch.timing(NETWORK):
            clock.now_s += 1
        clock.now_s += 5
    assert stopwatch.stages == {NETWORK: 2}
    stopwatch.reset()
    assert (stopwatch.stages, stopwatch.runs) == ({}, 0)


def test_a_stage_in_another_thread_is_not_within_this_ones(monkeypatch):
    clock, stopwatch = Clock(monkeypatch), Stopwatch(is_cuda=False)

    def work() -> None:
        with stopwatch.timing(NETWORK):
            clock.now_s += 3

    with stopwatch.timing(OVERLAP_ADD):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert stopwatch.stages == {OVERLAP_ADD: 3, NETWORK: 3}


def burn(seconds: float) -> None:
    """Uses so much CPU time in this thread."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


BURNT_S = 0.2


@pytest.mark.parametrize("began_before", [True, False])
def test_what_another_thread_computes_during_a_run_is_no_part_of_it(began_before):
    stopwatch = Stopwatch(is_cuda=False)
    go, burnt, over = threading.Event(), threading.Event(), threading.Event()

    def spectra() -> None:
        go.wait()
        burn(BURNT_S)
        burnt.set()
        over.wait()

    thread = threading.Thread(target=spectra)
    if began_before:
        thread.start()
    with stopwatch.timing(NETWORK):
        if not began_before:
            thread.start()
        go.set()
        burn(BURNT_S)
        burnt.wait()
    over.set()
    thread.join()
    assert 0.9 * BURNT_S < stopwatch.run_cpu_s < 1.5 * BURNT_S


def test_runs_of_two_threads_at_once_are_counted_once():
    stopwatch, both = Stopwatch(is_cuda=False), threading.Barrier(2)

    def run() -> None:
        with stopwatch.timing(NETWORK):
            both.wait()
            burn(BURNT_S)
            both.wait()
        both.wait()  # a thread that has ended has no clock

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1.9 * BURNT_S < stopwatch.run_cpu_s < 2.5 * BURNT_S
    assert stopwatch.runs == 2


def test_cpu_time_between_runs_is_no_run_s():
    stopwatch = Stopwatch(is_cuda=False)
    with stopwatch.timing(OVERLAP_ADD):
        burn(BURNT_S)
        with stopwatch.timing(NETWORK):
            burn(BURNT_S)
        burn(BURNT_S)
    assert 0.9 * BURNT_S < stopwatch.run_cpu_s < 1.5 * BURNT_S


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((torch.nn.Identity(), torch.zeros(3, 2, 5)), 3),
        ((object(), None, {"input": np.zeros((2, 4, 8))}), 2),
        ((object(), "a/path"), 1),
        ((), 1),
    ],
    ids=["module", "ONNX session", "no array", "nothing"],
)
def test_a_run_counts_for_each_of_its_chunks(args, expected):
    assert chunks(args) == expected
