"""torch computes a core in half precision between float32 inputs and answers."""

from pathlib import Path

import pytest
import torch
from torch import nn

from processor.models import model_files
from processor.separation import device, loaded_model
from processor.separation.runtimes.core import CoreSource, Plan, Precision
from processor.separation.runtimes.opening import open_cores
from processor.separation.runtimes.torch_core import TorchCore
from tests.support import audio
from tests.support.processor import random_checkpoints

ROFORMERS = {
    "tiny_bs_roformer": random_checkpoints.write_bs_roformer,
    "tiny_mel_band_roformer": random_checkpoints.write_mel_band_roformer,
}


class Seen(nn.Module):
    """Keeps the type of what it is given, and passes it on."""

    dtype: torch.dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.dtype = x.dtype
        return x


class Loud(nn.Module):
    """Doubles its input, which a residual around a layer does too; half precision ends at 65504."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)
        nn.init.eye_(self.layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer(x)


def source(tmp_path: Path, name: str) -> CoreSource:
    files = model_files.ensure(ROFORMERS[name](tmp_path), tmp_path, fetch=False)
    (found,) = loaded_model.architecture(files).core_sources(files)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ROFORMERS)
def test_half_precision_stays_near_float32(tmp_path, name, precision):
    core = source(tmp_path, name)
    inputs = torch.randn(core.shapes[0], generator=torch.Generator().manual_seed(1))
    (exact,) = open_cores([core], Plan("torch", "fp32"), device.CPU)[0](inputs)
    (fast,) = open_cores([core], Plan("torch", precision), device.CPU)[0](inputs)
    assert fast.dtype == torch.float32
    # A precision that the plan names and nobody uses would answer the same.
    assert 30 < audio.sdr_db(exact.numpy(), fast.numpy()) < 80


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_products_are_in_half_and_the_answer_is_float32(precision: Precision, dtype):
    seen = Seen()
    module = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), seen)
    (answer,) = TorchCore(module, device.CPU, precision)(torch.randn(2, 4))
    assert (seen.dtype, answer.dtype) == (dtype, torch.float32)
    assert module[0].weight.dtype == torch.float32
    assert module[1].weight.dtype == dtype


@pytest.mark.parametrize("name", ROFORMERS)
def test_roformers_carry_float32_from_block_to_block(tmp_path, name):
    core = source(tmp_path, name)
    module, types = core.module(), set()

    def note(block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        types.add(inputs[0].dtype)

    for block in module.modules():
        if type(block).__name__ == "Transformer":
            block.register_forward_pre_hook(note)
    TorchCore(module, device.CPU, "fp16")(*core.example)
    assert types == {torch.float32}


def test_sums_between_layers_may_exceed_what_half_precision_holds():
    module = nn.Sequential(Loud(), Seen())
    (answer,) = TorchCore(module, device.CPU, "fp16")(torch.full((1, 4), 50_000.0))
    assert torch.allclose(answer, torch.full((1, 4), 100_000.0), rtol=1e-3)


def test_attention_of_torch_runs_in_half_too():
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    torch.manual_seed(0)
    module, inputs = Attends(), torch.randn(1, 5, 8)
    (exact,) = TorchCore(module, device.CPU)(inputs)
    (fast,) = TorchCore(module, device.CPU, "bf16")(inputs)
    assert audio.sdr_db(exact.numpy(), fast.numpy()) > 30


def test_float32_leaves_the_weights_as_they_are():
    module = nn.Linear(4, 4)
    inputs = torch.randn(2, 4)
    expected = module(inputs)
    (answer,) = TorchCore(module, device.CPU)(inputs)
    assert torch.equal(answer, expected)
    assert module.weight.dtype == torch.float32
