"""A song whose answer in a faster precision holds NaN is separated again in float32, and says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processor.engine.warm_model import WarmModel
from processor.separation.loaded_model import LoadedModel, Residual
from processor.separation.overlap_add import Mix, Samples
from processor.separation.runtimes.core import Plan, Precision
from processor.separation.streaming import NotFinite
from tests.support import audio

FAST = Plan("openvino", "bf16")


def model(precision: Precision, sample: float | None = None) -> LoadedModel:
    """A model that answers half of the mix, or `sample` everywhere."""

    def estimate(mix: Mix) -> Iterator[Samples]:
        samples = mix.open()(mix.frames)[None]
        yield samples / 2 if sample is None else np.full_like(samples, sample)

    residual = Residual("instrumental", "vocals")
    return LoadedModel("m", ("vocals",), residual, estimate, ("cpu",), "openvino", precision)


class Loader:
    """Loads the model in float32, with `sample` everywhere if given; `plans` are those asked for."""

    def __init__(self, sample: float | None = None):
        self.plans: list[Plan | None] = []
        self._sample = sample

    def load(self, plan: Plan | None) -> LoadedModel:
        self.plans.append(plan)
        return model("fp32", self._sample)


def separate(warm: WarmModel, directory: Path) -> dict:
    source = audio.write(directory / "mix.wav", audio.noise(1))
    target = directory / "stems"
    target.mkdir(exist_ok=True)
    try:
        return warm.separate(source, target, lambda fraction: None, lambda: None)
    finally:
        assert not list(target.glob("*.part"))


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_float32_takes_over_for_a_song_that_a_faster_precision_spoils(tmp_path, sample):
    loader = Loader()
    warm = WarmModel(loader, FAST, model("bf16", sample), "cpu", "wav")
    done = separate(warm, tmp_path)
    assert done["computed"] == {
        "runtime": "openvino",
        "precision": "fp32",
        "fallback": "bf16: the model's answer holds NaN or infinite samples",
    }
    assert sorted(done["stems"]) == ["instrumental", "vocals"]
    assert loader.plans == [replace(FAST, precision="fp32")]


def test_a_song_that_float32_spoils_too_fails_after_one_fallback(tmp_path):
    loader = Loader(np.nan)
    warm = WarmModel(loader, FAST, model("bf16", np.nan), "cpu", "wav")
    with pytest.raises(NotFinite):
        separate(warm, tmp_path)
    assert len(loader.plans) == 1


def test_float32_has_nothing_to_fall_back_to(tmp_path):
    loader = Loader()
    warm = WarmModel(loader, Plan("openvino", "fp32"), model("fp32", np.nan), "cpu", "wav")
    with pytest.raises(NotFinite):
        separate(warm, tmp_path)
    assert loader.plans == []


def test_a_healthy_song_says_how_it_was_computed(tmp_path):
    warm = WarmModel(Loader(), FAST, model("bf16"), "cpu", "wav")
    assert warm.describe() == {"model": "m", "device": "cpu", "runtime": "openvino", "precision": "bf16"}
    assert separate(warm, tmp_path)["computed"] == {"runtime": "openvino", "precision": "bf16"}
