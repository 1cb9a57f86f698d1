"""What needs a GPU: the device that is really used, the same stems as on the CPU, and its memory's end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import ErrorCode, TransientError
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig, Separation
from processor.models import model_files
from processor.models.model_files import SPLEETER
from processor.separation import batches, device, loaded_model
from processor.separation.architectures import real_ends
from tests.support import audio
from tests.support.processor.models import centre_directory, random_directory, spleeter_directory

# What another order of sums may change, and what TF32 may, in which both runtimes multiply by default.
LEAST_DB = {"float32": 60, "tf32": 35}
DIRECTORIES: dict[str, Callable[[], Path]] = {
    "centre": centre_directory,
    SPLEETER: spleeter_directory,
    "tiny_vr": random_directory,
    "tiny_mdx23c": random_directory,
    "tiny_bs_roformer": random_directory,
    "tiny_mel_band_roformer": random_directory,
    "tiny_bag": random_directory,
    "tiny_hdemucs": random_directory,
}


@pytest.fixture
def start() -> Iterator[Callable[[str, str], Engine]]:
    engines = []

    def start(name: str, device: str) -> Engine:
        engines.append(Engine(EngineConfig(name, DIRECTORIES[name](), device=device, fetch_model=False)))
        engines[-1].start()
        state = engines[-1].wait_ready(180)
        assert state.ok, state.detail
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop()


def separate(engine: Engine, directory: Path, mix: np.ndarray) -> Separation:
    directory.mkdir()
    source = audio.write(directory / "mix.wav", mix)
    target = directory / "stems"
    target.mkdir()
    return engine.separate(source, target, lambda: None, lambda fraction: None)


@pytest.mark.parametrize("arithmetic", LEAST_DB)
@pytest.mark.parametrize("name", DIRECTORIES)
def test_the_gpu_is_used_told_and_gives_the_cpus_stems(start, tmp_path, monkeypatch, name, arithmetic):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    if arithmetic == "float32":
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    engine = start(name, "cuda")
    assert engine.state().detail == f"{name} on cuda"
    mix = audio.noise(15, peak=0.5)
    on_gpu = separate(engine, tmp_path / "gpu", mix)
    on_cpu = separate(start(name, "cpu"), tmp_path / "cpu", mix)
    assert (on_gpu.device, on_cpu.device) == ("cuda", "cpu")
    for stem, file in on_cpu.stems.items():
        assert audio.sdr_db(audio.read(file.path), audio.read(on_gpu.stems[stem].path)) > LEAST_DB[arithmetic]


def test_auto_takes_the_gpu(start):
    assert start("tiny_mdx23c", "auto").state().detail == "tiny_mdx23c on cuda"


@pytest.mark.parametrize("name", DIRECTORIES)
def test_the_loaded_model_tells_where_it_is(name):
    loaded = loaded_model.load(model_files.ensure(name, DIRECTORIES[name](), fetch=False), device.CUDA)
    assert device.confirm("cuda", loaded.placement) == "cuda"


def test_inverse_transforms_give_the_cpus_samples():
    # A size at which cuFFT heeds what is no part of real samples.
    spectra, window = torch.randn(2, 2049, 173, dtype=torch.complex64), torch.hann_window(4096)
    on_cpu = torch.istft(spectra, 4096, 1024, window=window)
    with real_ends.on(device.CUDA):
        on_gpu = torch.istft(spectra.cuda(), 4096, 1024, window=window.cuda()).cpu()
    assert audio.sdr_db(on_cpu.numpy(), on_gpu.numpy()) > 100


def test_memory_that_does_not_do_is_a_typed_error_and_comes_back():
    network_of_one = torch.nn.Conv1d(2, 2, 1).cuda()

    def run(chunks: np.ndarray) -> np.ndarray:
        torch.empty((len(chunks), 1 << 50), device="cuda")
        return network_of_one(torch.from_numpy(chunks).cuda()).cpu().numpy()

    runner = batches.Batches(run, 4, torch.cuda.empty_cache)
    with pytest.raises(TransientError) as caught:
        runner(np.zeros((4, 2, 8), np.float32))
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    assert runner.size == 2
    assert network_of_one(torch.zeros(1, 2, 8).cuda()).shape == (1, 2, 8)
