"""Batches: after memory has run out, half as many chunks run at once."""

import numpy as np
import pytest
import torch

from common.errors import ErrorCode, TransientError
from processor.models import model_files
from processor.separation import device, loaded_model, overlap_add
from processor.separation.batches import Batches, is_out_of_memory
from processor.separation.overlap_add import Chunk
from tests.support import audio
from tests.support.processor import random_checkpoints
from tests.support.processor.mixes import as_mix

STARTS_AND_LENGTHS = [(0, 10), (10, 10), (20, 10), (30, 5), (35, 5)]
GPU_IS_FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


class Gpu:
    """Runs at most `most` chunks at once."""

    def __init__(self, most: int):
        self.most = most
        self.asked: list[int] = []
        self.released = 0

    def run(self, chunks: np.ndarray) -> np.ndarray:
        self.asked.append(len(chunks))
        if len(chunks) > self.most:
            raise torch.OutOfMemoryError(GPU_IS_FULL)
        return chunks * 2

    def release(self) -> None:
        self.released += 1


def test_what_is_too_much_at_once_is_halved_and_stays_so():
    gpu = Gpu(most=2)
    batches = Batches(gpu.run, 4, gpu.release)
    chunks = np.arange(12.0).reshape(4, 3)
    assert np.array_equal(batches(chunks), chunks * 2)
    assert np.array_equal(batches(chunks[:3]), chunks[:3] * 2)
    assert gpu.asked == [4, 2, 2, 2, 1]
    assert gpu.released == 1


@pytest.mark.parametrize(("size", "asked"), [(1, [1]), (4, [4, 2]), (8, [8, 4])])
def test_half_of_it_too_much_fails_the_job(size, asked):
    gpu = Gpu(most=0)
    with pytest.raises(TransientError) as caught:
        Batches(gpu.run, size, gpu.release)(np.zeros((size, 3)))
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    assert GPU_IS_FULL in caught.value.message
    assert gpu.asked == asked


def test_other_errors_pass_as_they_are():
    def run(chunks: np.ndarray) -> np.ndarray:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Batches(run, 4)(np.zeros((4, 3)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(GPU_IS_FULL),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : ... Failed to allocate memory for requested"
        ),
        MemoryError(),
    ],
)
def test_the_end_of_memory_is_known_by_its_texts(error):
    assert is_out_of_memory(error)


def test_a_batch_answers_what_its_chunks_answer_alone(tmp_path):
    random_checkpoints.write_mdx23c(tmp_path, "alone", batch=1)
    random_checkpoints.write_mdx23c(tmp_path, "together", batch=3)
    mix = audio.noise(15)
    answers = []
    for name in ("alone", "together"):
        loaded = loaded_model.load(model_files.ensure(name, tmp_path, fetch=False), device.CPU)
        answers.append(np.concatenate(list(loaded.estimate(as_mix(mix))), axis=2))
    assert np.abs(answers[0] - answers[1]).max() < 1e-6


def test_chunks_of_different_lengths_do_not_run_together():
    mix = audio.noise(40 / audio.SAMPLE_RATE)
    chunks = [Chunk(start, length, np.ones(length, np.float32)) for start, length in STARTS_AND_LENGTHS]
    asked: list[tuple[int, int]] = []

    def run(samples: np.ndarray) -> np.ndarray:
        asked.append((len(samples), samples.shape[-1]))
        return samples[:, None]

    parts = overlap_add.stream(as_mix(mix).open(), len(mix), chunks, run, batch=2)
    assert np.allclose(np.concatenate(list(parts), axis=2)[0].T, mix)
    assert asked == [(2, 10), (1, 10), (2, 5)]
