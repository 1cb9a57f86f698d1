"""Chunks run together as memory allows, one by one where they are too few, and answer the same."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from common.errors import ErrorCode, TransientError
from processor.models import model_files
from processor.separation import device, gpu, loaded_model
from processor.separation.batches import GrowingBatches
from tests.support import audio
from tests.support.processor import random_checkpoints
from tests.support.processor.centre_model import write_centre_model
from tests.support.processor.mixes import as_mix

SAMPLES = 10
# A GPU's way of running MDX networks, on torch's CPU.
TORCH_ON_CPU = device.DeviceChoice("cpu", ())


class FakeMemory:
    """A device on which the first run takes `taken_bytes`, and later ones may take `budget`."""

    def __init__(self, taken_bytes: int, budget: int):
        self.taken_bytes, self.budget = taken_bytes, budget
        self.measured_runs = self.released = 0

    def measured(self, run: Callable[[], np.ndarray]) -> tuple[np.ndarray, int]:
        self.measured_runs += 1
        return run(), self.taken_bytes

    def budget_bytes(self) -> int:
        return self.budget

    def release(self) -> None:
        self.released += 1


class Network:
    """Doubles chunks, and fails where more than `most` come at once."""

    def __init__(self, most: int = 100):
        self.most = most
        self.asked: list[int] = []

    def __call__(self, chunks: np.ndarray) -> np.ndarray:
        self.asked.append(len(chunks))
        if len(chunks) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return chunks * 2


def check(batches: GrowingBatches, count: int, samples: int = SAMPLES) -> None:
    chunks = np.random.default_rng(0).normal(size=(count, 2, samples)).astype(np.float32)
    assert np.array_equal(batches(chunks), chunks * 2)


@pytest.mark.parametrize(
    ("budget", "asked"),
    [
        (1000, [1, 1, 1, 1, 1, 1, 1, 1, 8, 1, 1, 1]),
        (799, [1, 4, 1, 1, 1, 4, 4, 1, 1, 1]),
        (399, [1, 2, 2, 2, 1, 2, 2, 2, 2, 2, 1]),
        (99, [1] * 19),
        (0, [1] * 19),
    ],
)
def test_the_first_runs_memory_decides_how_many_run_at_once(budget, asked):
    network, memory = Network(), FakeMemory(100, budget)
    batches = GrowingBatches(network, memory, 8)
    for count in (8, 8, 3):
        check(batches, count)
    assert network.asked == asked
    assert memory.measured_runs == 1


def test_longer_chunks_take_more_memory():
    network = Network()
    batches = GrowingBatches(network, FakeMemory(100, 800), 8)
    check(batches, 1)
    check(batches, 8, samples=2 * SAMPLES)
    assert network.asked == [1, 4, 4]


def test_what_is_too_much_at_once_is_halved_and_stays_so():
    network, memory = Network(most=2), FakeMemory(100, 10_000)
    batches = GrowingBatches(network, memory, 8)
    check(batches, 1)
    check(batches, 8)
    check(batches, 4)
    assert network.asked == [1, 8, 4, 2, 2, 2, 2, 2, 2]
    assert memory.released == 2


@pytest.mark.parametrize("first", [True, False])
def test_a_single_chunk_that_is_too_much_fails_the_job(first):
    network = Network(most=0 if first else 1)
    batches = GrowingBatches(network, FakeMemory(100, 10_000), 8)
    if not first:
        check(batches, 1)
        network.most = 0
    with pytest.raises(TransientError) as caught:
        check(batches, 1)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY


def test_other_errors_pass_as_they_are():
    def run(chunks: np.ndarray) -> np.ndarray:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        GrowingBatches(run, FakeMemory(1, 1), 8)(np.zeros((4, 2, SAMPLES), np.float32))


def test_a_thread_that_comes_meanwhile_waits_for_the_first_runs_figure():
    begun, may_end = threading.Event(), threading.Event()
    network = Network()

    def run(chunks: np.ndarray) -> np.ndarray:
        begun.set()
        assert may_end.wait(30)
        return network(chunks)

    memory = FakeMemory(100, 10_000)
    batches = GrowingBatches(run, memory, 8)
    threads = [threading.Thread(target=check, args=(batches, 8)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join(30)
    assert memory.measured_runs == 1
    assert sorted(network.asked) == [1] * 8 + [8]


WRITERS = {
    "centre": write_centre_model,
    "tiny_bs_roformer": random_checkpoints.write_bs_roformer,
    "tiny_mel_band_roformer": random_checkpoints.write_mel_band_roformer,
    "tiny_mdx23c": random_checkpoints.write_mdx23c,
}


# The slowest of them has no code of its own here.
SLOW = ("tiny_mel_band_roformer",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WRITERS]
)
def test_stems_are_the_same_whatever_runs_at_once(tmp_path, monkeypatch, name):
    WRITERS[name](tmp_path)
    files = model_files.ensure(name, tmp_path, fetch=False)
    mix = audio.noise(15)
    counts: set[int] = set()

    def growing(run, device, on_cpu, most=4):
        def counting(chunks: np.ndarray) -> np.ndarray:
            counts.add(len(chunks))
            return run(chunks)

        return GrowingBatches(counting, FakeMemory(1, 1 << 30), 2)

    def stems() -> np.ndarray:
        loaded = loaded_model.load(files, TORCH_ON_CPU)
        return np.concatenate(list(loaded.estimate(as_mix(mix))), axis=2)

    alone = stems()
    monkeypatch.setattr(gpu, "runner", growing)
    monkeypatch.setattr(gpu, "threads", lambda device: 2)
    together = stems()
    assert counts == {1, 2}
    assert np.abs(alone - together).max() < 1e-6 * max(np.abs(alone).max(), 1)


def test_the_cpu_runs_the_number_that_it_is_told():
    assert gpu.runner(Network(), device.CPU, on_cpu=3).most == 3
    assert gpu.threads(device.CPU) == 0
