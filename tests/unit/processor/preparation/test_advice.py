"""The start names a better model only where that one is fast enough on this very device."""

from pathlib import Path

import pytest

from processor.models.model_files import ModelFiles
from processor.preparation import advice, decision
from processor.preparation.decision import Decision
from processor.preparation.machine import Machine
from processor.separation.device import Device

CHOSEN = "UVR-MDX-NET-Inst_HQ_4.onnx"
BETTER = "model_bs_roformer_ep_317_sdr_12.9755.ckpt"
GOOD = "htdemucs_ft.yaml"
WORSE = "2_HP-UVR.pth"
HERE = Machine("this CPU", "cpu-here")


def files(directory: Path, name: str) -> ModelFiles:
    return ModelFiles(Path(name).stem, "MDX", directory, directory / name, {}, "0" * 64)


def made(name: str, speed: float | None, machine: str = HERE.name, device: Device = "cpu") -> Decision:
    return Decision(
        model=name,
        device=device,
        machine=machine,
        made_with=decision.versions(),
        runtime="torch",
        precision="fp32",
        reason="a test",
        times_real_time=speed,
    )


def measured(directory: Path, name: str, speed: float | None, machine: str = HERE.name) -> None:
    decision.write(files(directory, name), HERE, "auto", made(name, speed, machine))


def advised(directory: Path, device: Device = "cpu") -> str | None:
    return advice.better_model(files(directory, CHOSEN), made(CHOSEN, 20.0, device=device))


def test_a_better_model_that_is_installed_and_fast_enough_is_named(tmp_path):
    measured(tmp_path, BETTER, 2.5)
    measured(tmp_path, GOOD, 5.0)
    text = advised(tmp_path)
    assert "MODEL_NAME=model_bs_roformer_ep_317_sdr_12.9755 chooses it" in text
    assert "11.8 dB, not 8.8" in text
    assert "2.5 times real time" in text


@pytest.mark.parametrize(("speed", "machine"), [(0.4, HERE.name), (None, HERE.name), (9.0, "another CPU")])
def test_a_model_that_is_too_slow_here_or_measured_elsewhere_is_not(tmp_path, speed, machine):
    measured(tmp_path, BETTER, speed, machine)
    assert advised(tmp_path) is None


def test_a_worse_model_is_not_named(tmp_path):
    measured(tmp_path, WORSE, 50.0)
    assert advised(tmp_path) is None


def test_on_a_gpu_the_best_model_is_named_though_it_is_not_installed(tmp_path):
    assert "suits a GPU" in advised(tmp_path, "cuda")


def test_a_model_without_a_score_gets_no_advice(tmp_path):
    measured(tmp_path, BETTER, 2.5)
    assert advice.better_model(files(tmp_path, "own.onnx"), made("own", 20.0)) is None
