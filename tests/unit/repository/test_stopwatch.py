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
