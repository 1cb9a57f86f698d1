"""What makes a GPU fast changes no stems: half precision, CUDA graphs, batches, memory in place, copies."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from processor.models import model_files
from processor.models.model_files import SPLEETER, ModelFiles
from processor.preparation import installation
from processor.separation import device, gpu, loaded_model
from processor.separation.batches import Batches, GrowingBatches
from processor.separation.runtimes.core import CoreSource, Plan, Precision
from processor.separation.runtimes.onnx_core import OnnxCore
from processor.separation.runtimes.torch_core import TorchCore
from tests.support import audio
from tests.support.processor.mixes import as_mix
from tests.support.processor.models import centre_directory, random_directory, spleeter_directory

CORES = ["tiny_bs_roformer", "tiny_mel_band_roformer", "tiny_mdx23c"]
ARCHITECTURES = [*CORES, "tiny_vr", "tiny_bag", "tiny_hdemucs"]


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """TF32 has fewer bits than what these tests compare."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def files_of(name: str) -> ModelFiles:
    directory = {"centre": centre_directory, SPLEETER: spleeter_directory}.get(name, random_directory)()
    return model_files.ensure(name, directory, fetch=False)


def stems(name: str, mix: np.ndarray, precision: Precision = "fp32") -> np.ndarray:
    files = files_of(name)
    choice = installation.choose_device(files, "cuda")
    plan = Plan("onnxruntime" if files.architecture == "MDX" else "torch", precision)
    loaded = loaded_model.load(files, choice, plan)
    assert (device.confirm("cuda", loaded.placement), loaded.precision) == ("cuda", precision)
    return np.concatenate(list(loaded.estimate(as_mix(mix))), axis=2)


def core_source(name: str) -> CoreSource:
    files = files_of(name)
    (source,) = loaded_model.architecture(files).core_sources(files)
    return source


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cuda()


def zero_that_takes_long() -> torch.Tensor:
    """Begin some milliseconds of work on the GPU, whose answer is 0."""
    zeros = torch.zeros(4096, 4096, device="cuda")
    for _ in range(20):
        zeros = zeros @ zeros
    return zeros[0, 0]


def near_db(expected: torch.Tensor, found: torch.Tensor) -> float:
    return audio.sdr_db(expected.cpu().numpy(), found.cpu().numpy())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_half_precision_passes_the_gate(name):
    mix = audio.noise(15, peak=0.5)
    exact, fast = stems(name, mix), stems(name, mix, "fp16")
    assert 30 < audio.sdr_db(exact, fast) < 100  # at 100 dB nothing was half


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", CORES)
def test_graphs_answer_what_plain_runs_answer(name, precision, caplog):
    source = core_source(name)
    ((_, *usual),) = source.shapes
    plain = TorchCore(source.module(), device.CUDA, precision)
    module, runs = source.module(), []
    module.register_forward_pre_hook(lambda module, inputs: runs.append(len(inputs[0])))
    graphed = TorchCore(module, device.CUDA, precision, source.shapes)
    with caplog.at_level(logging.WARNING):
        for turn, chunks in enumerate([2, 2, 2, 1, 1, 1, 2]):
            inputs = noise((chunks, *usual), turn)
            before = len(runs)
            (expected,), (found,) = plain(inputs), graphed(inputs)
            assert near_db(expected, found) > 80
            # A replay does not call the module.
            assert (len(runs) == before) == (turn in (2, 5, 6))
    assert not caplog.records


@pytest.mark.parametrize("name", CORES[:2])
def test_graphs_outlive_runs_of_other_shapes(name, caplog):
    source = core_source(name)
    ((_, frames, values),) = source.shapes
    plain = TorchCore(source.module(), device.CUDA, "fp16")
    graphed = TorchCore(source.module(), device.CUDA, "fp16", source.shapes)
    # A longer input replaces the tables of rotary embeddings, which the graph reads.
    for turn, length in enumerate([frames, frames, 3 * frames, 2 * frames, frames // 2, frames]):
        inputs = noise((1, length, values), turn)
        (expected,), (found,) = plain(inputs), graphed(inputs)
        assert near_db(expected, found) > 80
    assert not caplog.records


@pytest.mark.parametrize("name", ["centre", *CORES])
def test_chunks_together_answer_what_they_answer_alone(name, monkeypatch):
    mix = audio.noise(40, peak=0.5)
    counts: set[int] = set()

    def counting(run, choice, on_cpu, most=gpu.MOST_CHUNKS):
        def counted(chunks: np.ndarray) -> np.ndarray:
            counts.add(len(chunks))
            return run(chunks)

        return GrowingBatches(counted, gpu.GpuMemory(), most)

    with monkeypatch.context() as patched:
        patched.setattr(gpu, "runner", lambda run, choice, on_cpu, most=1: Batches(run, 1))
        patched.setattr(gpu, "threads", lambda choice: 0)
        alone = stems(name, mix)
    monkeypatch.setattr(gpu, "runner", counting)
    together = stems(name, mix)
    assert max(counts) > 1
    assert audio.sdr_db(alone, together) > 60


@pytest.mark.parametrize("name", ["centre", SPLEETER])
def test_onnx_in_place_answers_what_copies_answer(name):
    files = files_of(name)
    choice = installation.choose_device(files, "cuda")
    (source,) = loaded_model.architecture(files).core_sources(files)
    core = OnnxCore(Path(source.path), choice)
    assert device.confirm("cuda", core.placement) == "cuda"
    first = noise(source.shapes[0], 0)
    (copied,) = core(first)  # the first run of a shape copies
    for turn in range(3):
        core(noise(source.shapes[0], turn + 1))
        # What torch has still to compute must be there when onnxruntime reads.
        (in_place,) = core(first + zero_that_takes_long())
        assert in_place.is_cuda
        assert near_db(copied, in_place) > 35  # onnxruntime multiplies in TF32


def test_copies_arrive_whole_while_the_gpu_is_busy():
    chunks = np.random.default_rng(0).normal(size=(4, 2, 100_000)).astype(np.float32)
    zero_that_takes_long()
    on_gpu = [gpu.to_device(chunks * factor, device.CUDA) for factor in range(5)]
    for factor, samples in enumerate(on_gpu):
        assert np.array_equal(gpu.to_host(samples + 0), chunks * factor)


def test_a_runs_memory_is_seen():
    def run() -> np.ndarray:
        return torch.ones(1 << 26, device="cuda")[:1].cpu().numpy()

    memory = gpu.GpuMemory()
    torch.cuda.empty_cache()
    answer, taken_bytes = memory.measured(run)
    assert answer == 1
    assert 4 << 26 <= taken_bytes < 8 << 26
    assert 0 < memory.budget_bytes() < torch.cuda.mem_get_info()[1]
